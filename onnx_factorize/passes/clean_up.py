"""Remove what the rewrites left behind."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from ..graph import scopes

__all__ = ["CleanUp"]


class CleanUp(ir.passes.InPlacePass):
    """Removes initializers that nothing reads; everything else stays as the user made it."""

    def __init__(self, only: Collection[ir.Value] | None = None) -> None:
        """Initializes the pass.

        Args:
            only: Remove no others; by default all that nothing reads.
        """
        self._only = only

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        modified = False
        for scope, _ in scopes(model.graph):
            for name, value in list(scope.initializers.items()):
                if value.uses() or value.is_graph_output():
                    continue
                if self._only is not None and value not in self._only:
                    continue
                if value.is_graph_input():
                    # IR version 3 lists initializers as inputs; later, an input is the user's.
                    if model.ir_version is None or model.ir_version >= 4:
                        continue
                    scope.inputs.remove(value)
                del scope.initializers[name]
                modified = True
        return ir.passes.PassResult(model, modified=modified)
