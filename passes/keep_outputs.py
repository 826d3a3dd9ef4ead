"""Leave only what some outputs need."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

__all__ = ["KeepOutputs"]


class KeepOutputs(ir.passes.InPlacePass):
    """Removes the other outputs of the main graph, and the nodes and weights that only they need.

    An onnxruntime session computes all that is in its graph, wanted or not. Inputs stay, so that
    the model takes the same feeds.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        kept = [value for value in model.graph.outputs if value.name in self._names]
        modified = len(kept) < len(model.graph.outputs)
        model.graph.outputs[:] = kept
        if modified:
            RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=modified)
