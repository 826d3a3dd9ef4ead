"""Give every node of a graph a name of its own, as onnxruntime demands."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import scopes

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
            counts: dict[str, int] = {}
            for node in scope:
                if not node.name or node.name not in counts:
                    counts[node.name or ""] = 1
                    continue
                base = node.name
                while node.name in taken:
                    counts[base] += 1
                    node.name = f"{base}#{counts[base]}"
                taken.add(node.name)
                modified = True
        return ir.passes.PassResult(model, modified=modified)
