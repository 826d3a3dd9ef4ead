"""Putting new operators in the place of one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...graph import Namer, add_initializer, add_integers, opset
from ...graph.builder import Attribute, before, emit
from .marks import (
    Rest,
    StandsFor,
    mark,
    mark_factor,
    mark_helper,
    mark_stored,
    shared_weight,
    stored_type,
)
from .negligible import significant

__all__ = ["Site", "rearranged"]

_SLICE_INPUTS_SINCE = 10
_SPLIT_INPUT_SINCE = 13
_END = 2**31 - 1


class Site:
    """The place of one node: what is made here stands before it.

    Attributes:
        model: The model.
        node: The node.
        name: What the node is called in reports.
        made: The operators that were made here.
    """

    def __init__(self, model: ir.Model, names: Namer, node: ir.Node, name: str) -> None:
        self.model = model
        self.node = node
        self.name = name
        self._names = names
        self.made: list[ir.Node] = []

    def op(
        self, op_type: str, *inputs: ir.Value | None, suffix: str = "", **attributes: Attribute
    ) -> ir.Value:
        """Inserts a standard operator and returns its output, both named after the node's."""
        return emit(
            self._place,
            op_type,
            inputs,
            attributes,
            name=self._names(self.name + suffix),
            output=self._names(f"{self.node.outputs[0].name}{suffix or '.'}"),
        )

    def _place(self, node: ir.Node) -> None:
        before(self.node)(node)
        self.made.append(node)

    def split(self, value: ir.Value, lengths: Sequence[int], axis: int) -> tuple[ir.Value, ...]:
        """Inserts a Split along an axis, into parts of the given lengths."""
        attributes: dict[str, Attribute] = {"axis": axis}
        inputs = [value]
        if opset(self.model) < _SPLIT_INPUT_SINCE:
            attributes["split"] = lengths
        else:
            inputs.append(self.integers(lengths))
        name = self._names(f"{self.name}.split")
        node = ir.node("Split", inputs, attributes, num_outputs=len(lengths), name=name)
        for part in node.outputs:
            part.name, part.type = self._names(f"{name}.part"), value.type
        assert self.node.graph is not None
        self.node.graph.insert_before(self.node, node)
        self.made.append(node)
        return tuple(node.outputs)

    def helper(self, op_type: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """Inserts an operator that only moves values: it is no target and costs nothing."""
        value = self.op(op_type, *inputs, suffix=f".{op_type.lower()}", **attributes)
        node = value.producer()
        assert node is not None
        mark_helper(node)
        return value

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        """A constant list of integers."""
        return add_integers(self.model, self._names(f"{self.name}.integers"), numbers)

    def constant(self, array: npt.NDArray[Any], dtype: ir.DataType) -> ir.Value:
        """A constant, visible everywhere."""
        name = self._names(f"{self.name}.constant")
        return add_initializer(self.model, self.model.graph, name, array, dtype)

    def lengths(self, value: ir.Value, start: int, end: int | None = None) -> ir.Value:
        """The lengths of axes `start` to `end` of a value, as the graph computes them."""
        stop = _END if end is None else end
        shape = self.helper("Shape", value)
        if opset(self.model) < _SLICE_INPUTS_SINCE:
            return self.helper("Slice", shape, starts=[start], ends=[stop])
        return self.helper("Slice", shape, self.integers([start]), self.integers([stop]))

    def reshape(self, value: ir.Value, *lengths: ir.Value | Sequence[int]) -> ir.Value:
        """Reshapes a value to lengths that are known, computed, or both."""
        parts = [n if isinstance(n, ir.Value) else self.integers(n) for n in lengths]
        shape = parts[0] if len(parts) == 1 else self.helper("Concat", *parts, axis=0)
        return self.helper("Reshape", value, shape)

    def core(self, value: ir.Value, *, centred: bool = True) -> ir.Value:
        """Makes the operator that gives a value the one that stands for the node in reports.

        Args:
            value: The value.
            centred: Whether what is beside it may absorb the mean of an error.
        """
        node = value.producer()
        assert node is not None
        node.name = self.name
        mark(node, StandsFor(self.node.op_type, self.node.domain, centred))
        node.doc_string = self.node.doc_string
        node.metadata_props.update(self.node.metadata_props)
        return value

    def leave_rest(self, called: str, rest: Rest) -> None:
        """Keeps the node, whose name its core has, for the weights that it still holds."""
        self.node.name = self._names(f"{self.name} ({called})")
        mark(self.node, rest)

    def factor(self, weight: ir.Value, suffix: str, array: npt.NDArray[np.float64]) -> ir.Value:
        """A new initializer named after a weight, beside it, in the type in which it was stored."""
        shared = shared_weight(weight)
        if shared is None:
            return self.initializer(weight, f"{weight.name}.{suffix}", array)
        value = self.initializer(weight, f"{shared.name}.{suffix}", array)
        source = value.producer()
        stored = value if source is None else source.inputs[0]
        assert stored is not None
        mark_factor(stored, shared.name)
        return value

    def initializer(self, beside: ir.Value, name: str, array: npt.NDArray[np.float64]) -> ir.Value:
        """A new initializer beside another, in its type; converted where that was.

        Numbers that are nothing become zero (see `negligible`).
        """
        assert beside.dtype is not None
        home = beside.graph
        scope = home if isinstance(home, ir.Graph) else self.model.graph
        stored = stored_type(beside)
        value = add_initializer(self.model, scope, self._names(name), significant(array), stored)
        if stored is not beside.dtype:
            value = self.op("Cast", value, suffix=".cast", to=int(beside.dtype))
        return value

    def grouped(
        self,
        channels: ir.Value,
        weight: ir.Value,
        change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        shape: tuple[int, int, int],
    ) -> ir.Value:
        """One product for each group of channels, as a pointwise Conv: the node's core.

        In double precision, for which onnxruntime has no Conv, it computes in single precision:
        near enough for calibration.

        Args:
            channels: Shape (any, groups * K, positions).
            weight: The weight.
            change: From its contents to shape (groups, N, K).
            shape: That shape.
        """
        groups, n, k = shape
        double = weight.dtype == ir.DataType.DOUBLE
        if double:
            mark_stored(weight, ir.DataType.DOUBLE)
            channels = self.helper("Cast", channels, to=int(ir.DataType.FLOAT))
        rearranged(
            weight,
            lambda w: change(w).reshape(groups * n, k, 1).astype(np.float32 if double else w.dtype),
            (groups * n, k, 1),
            ir.DataType.FLOAT if double else None,
        )
        product = self.op("Conv", channels, weight, group=groups, kernel_shape=[1])
        self.core(product, centred=False)
        return self.helper("Cast", product, to=int(ir.DataType.DOUBLE)) if double else product

    def close(self, value: ir.Value) -> None:
        """Gives a value the name and the readers of the node's output, and removes the node."""
        old = self.node.outputs[0]
        value.type, value.shape, value.doc_string = old.type, old.shape, old.doc_string
        value.metadata_props.update(old.metadata_props)
        name, old.name = old.name, None
        value.name = name
        ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
        assert self.node.graph is not None
        self.node.graph.remove(self.node, safe=True)


def rearranged(
    weight: ir.Value,
    change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    shape: Sequence[int],
    dtype: ir.DataType | None = None,
) -> None:
    """Changes the contents of an initializer: computed when they are read, and never kept."""
    tensor = weight.const_value
    assert tensor is not None
    kind = tensor.dtype if dtype is None else dtype

    def contents() -> ir.TensorProtocol:
        array = change(tensor.numpy())
        return ir.tensor(np.ascontiguousarray(array), dtype=kind)

    size = ir.Shape(shape)
    weight.const_value = ir.LazyTensor(contents, dtype=kind, shape=size, name=weight.name)
    weight.shape, weight.type = size, ir.TensorType(kind)
