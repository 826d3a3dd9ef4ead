"""Attributes of nodes, and the constants that a node adds to a product."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from ...arrays import Array
from .weights import replaceable

__all__ = ["bias_after", "integers", "is_row_of", "row"]


def integers(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute that is a list of integers."""
    return tuple(node.attributes.get_ints(name, default))


def bias_after(model: ir.Model, node: ir.Node, columns: int) -> ir.Node | None:
    """The Add that gives a MatMul its bias: the only reader, with a constant row of N numbers."""
    output = node.outputs[0]
    readers = output.consumers()
    if output.is_graph_output() or len(readers) != 1 or readers[0].op_type != "Add":
        return None
    add = readers[0]
    others = [value for value in add.inputs if value is not output]
    if len(others) != 1 or others[0] is None or add.graph is not node.graph:
        return None
    # A bias of higher rank than the product's would add an axis: only a flat row is safe.
    tensor = others[0].const_value
    flat = tensor is not None and len(tensor.shape) == 1
    return add if flat and is_row_of(model, others[0], columns) else None


def is_row_of(model: ir.Model, value: ir.Value, columns: int) -> bool:
    """Tells whether a constant adds one number to each of N columns."""
    if value.const_value is None or not value.is_initializer() or replaceable(model, value):
        return False
    shape = value.const_value.shape.numpy()
    return math.prod(shape) in (1, columns) and math.prod(shape) == (shape[-1] if shape else 1)


def row(value: ir.Value | None, columns: int, scale: float = 1.0) -> Array:
    """A constant row as float64, spread over its columns; zero where there is none."""
    if value is None:
        return np.zeros(columns)
    assert value.const_value is not None
    numbers = value.const_value.numpy().astype(np.float64).reshape(-1)
    return np.asarray(np.broadcast_to(scale * numbers, (columns,)))
