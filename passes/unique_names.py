"""Give every node of a graph a name of its own, as onnxruntime demands."""

from __future__ import annotations

import onnx_ir as ir

from ._graph import scopes

__all__ = ["UniqueNodeNames"]


class UniqueNodeNames(ir.passes.InPlacePass):
    """Adds `#2`, `#3` … to the names of nodes that another node of the same graph has.

    Names are optional, and stay so: a node without one keeps none.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph, every subgraph and every function."""
        modified = False
        roots = [model.graph, *(function.graph for function in model.functions.values())]
        for scope in (scope for root in roots for scope, _ in scopes(root)):
            taken = {node.name for node in scope}
            seen: set[str] = set()
            for node in scope:
                if not node.name or node.name not in seen:
                    seen.add(node.name or "")
                    continue
                count = 2
                while f"{node.name}#{count}" in taken:
                    count += 1
                node.name = f"{node.name}#{count}"
                taken.add(node.name)
                modified = True
        return ir.passes.PassResult(model, modified=modified)
