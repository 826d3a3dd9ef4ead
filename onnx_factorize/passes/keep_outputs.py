"""Leave only what some outputs need."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

__all__ = ["KeepOutputs", "with_outputs"]


def with_outputs(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """The model itself where it has outputs of these names, else a copy that has.

    Args:
        model: The model; it is not changed.
        names: Outputs, or other values of the main graph.

    Raises:
        KeyError: There is no such value.
    """
    present = {value.name for value in model.graph.outputs}
    missing = [name for name in dict.fromkeys(names) if name not in present]
    if not missing:
        return model
    wider = model.clone()
    values = {value.name: value for node in wider.graph for value in node.outputs}
    wider.graph.outputs.extend(values[name] for name in missing)
    return wider


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
