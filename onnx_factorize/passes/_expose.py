"""Bring a value, from whatever branch it is computed in, to the outputs of the main graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ..graph import Namer, add_integers, opset, scopes, subgraphs
from ..graph.builder import Attribute, emit
from ._bodies import ITERATED

__all__ = ["Exposer"]

_SLICE_INPUTS_SINCE = 10
_END = 2**31 - 1


class Exposer:
    """Appends values to the outputs of a model's main graph, each once.

    - A value that already is an output of the main graph is used as it is.
    - A graph input is passed through Identity, since an output cannot be an input.
    - A value in a branch of an If leaves through an extra output of that If; the other branch
      answers with an empty tensor, which says that it did not run.
    - A value in the body of a Loop or Scan leaves through an extra output of that, which stacks
      the iterations; they are brought together in its first axis, as more samples of a batch.
    """

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._main = model.graph
        self._opset = opset(model)
        self.names = Namer(model)
        self._owners = {scope: owners[-1] for scope, owners in scopes(model.graph) if owners}
        self._exposed: dict[ir.Value, ir.Value] = {}

    def __call__(self, value: ir.Value, scope: ir.Graph, dtype: ir.DataType) -> str:
        """Exposes a value.

        Args:
            value: The value.
            scope: A graph in which it is visible.
            dtype: Its element type, for graphs that do not declare it.

        Returns:
            The name of the main graph's output that carries it.
        """
        if value not in self._exposed:
            # The place where the value is defined decides, not the place where it is read.
            home = value.graph if isinstance(value.graph, ir.Graph) else scope
            self._exposed[value] = self._expose(value, home, dtype)
        name = self._exposed[value].name
        assert name is not None
        return name

    def _expose(self, value: ir.Value, scope: ir.Graph, dtype: ir.DataType) -> ir.Value:
        if scope is self._main and value.is_graph_output():
            return value
        if value.producer() is None or value.is_graph_output():
            value = self._append(scope, "Identity", [value], f"{value.name}_tap", dtype)
        value.type = ir.TensorType(dtype)
        # A stale declared shape on an output would be an error in onnxruntime.
        value.shape = None
        scope.outputs.append(value)
        if scope is self._main:
            return value
        owner = self._owners[scope]
        outer = owner.graph
        assert isinstance(outer, ir.Graph)
        if owner.op_type in ITERATED:
            return self._expose(self._stacked(value, owner, outer, dtype), outer, dtype)
        for branch in subgraphs(owner):
            if branch is not scope:
                nothing = ir.tensor(np.zeros((0,), dtype=dtype.numpy()), dtype=dtype)
                empty = self._append(branch, "Constant", [], "not_run", dtype, value=nothing)
                branch.outputs.append(empty)
        owner.resize_outputs(len(owner.outputs) + 1)
        tapped = owner.outputs[-1]
        tapped.name = self.names(f"{value.name}_tap")
        return self._expose(tapped, outer, dtype)

    def _stacked(
        self, value: ir.Value, owner: ir.Node, outer: ir.Graph, dtype: ir.DataType
    ) -> ir.Value:
        """The value that iterations append to their outputs, one after the other."""
        for name in ("scan_output_axes", "scan_output_directions"):
            if name in owner.attributes:
                values = [*owner.attributes[name].as_ints(), 0]
                owner.attributes[name] = ir.AttrInt64s(name, values)
        owner.resize_outputs(len(owner.outputs) + 1)
        stack = owner.outputs[-1]
        stack.name = self.names(f"{value.name}_stack")
        integers = ir.DataType.INT64
        parts, bounds = [self._append(outer, "Shape", [stack], "stack_shape", integers)], {}
        if self._opset < _SLICE_INPUTS_SINCE:
            bounds = {"starts": [2], "ends": [_END]}
        else:
            parts += [self.integers([2]), self.integers([_END])]
        rest = self._append(outer, "Slice", parts, "stack_rest", integers, **bounds)
        lengths = [self.integers([-1]), rest]
        whole = self._append(outer, "Concat", lengths, "stack_lengths", integers, axis=0)
        return self._append(outer, "Reshape", [stack, whole], f"{value.name}_tap", dtype)

    def integers(self, numbers: list[int]) -> ir.Value:
        """A constant list of integers, visible everywhere."""
        return add_integers(self._model, self.names("stack_integers"), numbers)

    def _append(
        self,
        scope: ir.Graph,
        op_type: str,
        inputs: Sequence[ir.Value],
        name: str,
        dtype: ir.DataType,
        **attributes: Attribute,
    ) -> ir.Value:
        output = self.names(name)
        return emit(scope.append, op_type, inputs, attributes, output=output, dtype=dtype)
