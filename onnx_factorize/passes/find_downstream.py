"""Find the targets that some operators feed, rewritten or to be rewritten."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from ..graph import subgraphs
from .find_targets import FindTargets
from .linear.provenance import origin_name

__all__ = ["FindDownstream"]


class FindDownstream(ir.passes.InPlacePass):
    """Follows what operators change that are, or will be, rewritten; the model is only read.

    What is in a graph that runs conditionally or repeatedly counts as changed as soon as anything
    in it, or fed to it, is.

    Attributes:
        names: The targets whose inputs are changed.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        """Initializes the pass.

        Args:
            origins: Names of the targets that were, or will be, rewritten.
        """
        self._origins = set(origins)
        self.names: set[str] = set()

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        finder = FindTargets()
        finder(model)
        self._changed: set[ir.Value] = set()
        for node in model.graph:
            if self._is_changed(node):
                self._mark(node)
        self.names = {target.name for target in finder.targets if target.x in self._changed}
        return ir.passes.PassResult(model, modified=False)

    def _is_changed(self, node: ir.Node) -> bool:
        name = origin_name(node) or node.name
        if name in self._origins or any(v in self._changed for v in node.inputs):
            return True
        return any(self._is_changed(inner) for graph in subgraphs(node) for inner in graph)

    def _mark(self, node: ir.Node) -> None:
        self._changed.update(node.outputs)
        for graph in subgraphs(node):
            self._changed.update(graph.inputs)
            for inner in graph:
                self._mark(inner)
