"""Constant values: what they hold, and new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = ["add_initializer", "add_integers", "constant", "new_constant", "register"]


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor behind a value: an initializer, or a Constant node, seen through Identity."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.const_value if value.is_initializer() else None
        if node.domain == "" and node.op_type == "Identity":
            value = node.inputs[0]
        elif node.domain == "" and node.op_type == "Constant":
            return ir.convenience.get_const_tensor(value)
        else:
            return None
    return None


def add_initializer(
    model: ir.Model,
    scope: ir.Graph,
    name: str,
    array: npt.NDArray[np.float64],
    dtype: ir.DataType,
) -> ir.Value:
    """Registers an array as a new initializer of a graph, in the given type."""
    contents = np.ascontiguousarray(array.astype(dtype.numpy())).reshape(array.shape)
    value = new_constant(name, contents, dtype)
    register(model, scope, value)
    return value


def add_integers(model: ir.Model, name: str, numbers: Sequence[int]) -> ir.Value:
    """Registers a list of integers as an initializer of the main graph, visible everywhere."""
    value = new_constant(name, np.array(numbers, np.int64), ir.DataType.INT64)
    register(model, model.graph, value)
    return value


def new_constant(name: str, array: npt.NDArray[Any], dtype: ir.DataType) -> ir.Value:
    """A constant that no graph has yet, of an array in the numpy type of its element type."""
    tensor = ir.tensor(array, dtype=dtype, name=name)
    shape = ir.Shape(array.shape)
    return ir.Value(name=name, shape=shape, type=ir.TensorType(dtype), const_value=tensor)


def register(model: ir.Model, scope: ir.Graph, value: ir.Value) -> None:
    """Registers a value as an initializer of a graph.

    Models of IR version 3 must list every initializer among its graph's inputs. The branch of an
    If has none, so there it goes to the main graph.
    """
    if model.ir_version is not None and model.ir_version < 4:
        scope = model.graph
        scope.inputs.append(value)
    scope.register_initializer(value)
