"""Bring a value, from whatever branch it is computed in, to the outputs of the main graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ._graph import Namer, scopes, subgraphs

__all__ = ["Exposer"]


class Exposer:
    """Appends values to the outputs of a model's main graph, each once.

    - A value that already is an output of the main graph is used as it is.
    - A graph input is passed through Identity, since an output cannot be an input.
    - A value in a branch of an If leaves through an extra output of that If; the other branch
      answers with an empty tensor, which says that it did not run.
    """

    def __init__(self, model: ir.Model) -> None:
        self._main = model.graph
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
            value = self._append(scope, ir.node("Identity", [value]), f"{value.name}_tap", dtype)
        value.type = ir.TensorType(dtype)
        # A stale declared shape on an output would be an error in onnxruntime.
        value.shape = None
        scope.outputs.append(value)
        if scope is self._main:
            return value
        owner = self._owners[scope]
        outer = owner.graph
        assert isinstance(outer, ir.Graph)
        for branch in subgraphs(owner):
            if branch is not scope:
                nothing = ir.tensor(np.zeros((0,), dtype=dtype.numpy()), dtype=dtype)
                empty = ir.node("Constant", [], {"value": nothing})
                branch.outputs.append(self._append(branch, empty, "not_run", dtype))
        owner.resize_outputs(len(owner.outputs) + 1)
        tapped = owner.outputs[-1]
        tapped.name = self.names(f"{value.name}_tap")
        return self._expose(tapped, outer, dtype)

    def _append(self, scope: ir.Graph, node: ir.Node, name: str, dtype: ir.DataType) -> ir.Value:
        node.outputs[0].name = self.names(name)
        node.outputs[0].type = ir.TensorType(dtype)
        scope.append(node)
        return node.outputs[0]
