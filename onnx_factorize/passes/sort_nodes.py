"""Put the nodes of a graph in an order in which each comes after what it reads."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import scopes, subgraphs

__all__ = ["SortNodes"]


class SortNodes(ir.passes.InPlacePass):
    """Sorts graphs whose nodes read what only later ones give, and leaves others as they are.

    The standard asks for sorted graphs; onnxruntime runs any, and there are models like that.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph, every subgraph and every function.

        Raises:
            ValueError: Nodes read, or functions call, one another in a circle, which no order
                allows.
        """
        _check_calls(model)
        modified = False
        for root in (model.graph, *(function.graph for function in model.functions.values())):
            if not _is_sorted(root):
                root.sort()
                modified = True
        return ir.passes.PassResult(model, modified=modified)


def _check_calls(model: ir.Model) -> None:
    """Checks that no function calls itself, by way of others or not."""
    calls = {
        name: {node.op_identifier() for node in function.all_nodes()} & model.functions.keys()
        for name, function in model.functions.items()
    }
    while calls:
        ends = {name for name, called in calls.items() if not called & calls.keys()}
        if not ends:
            raise ValueError("functions call one another")
        calls = {name: called for name, called in calls.items() if name not in ends}


def _is_sorted(root: ir.Graph) -> bool:
    """Tells whether every node, in subgraphs too, comes after what gives its inputs."""
    before: set[ir.Node | None] = {None}
    return _visit(root, before, {node for scope, _ in scopes(root) for node in scope})


def _visit(graph: ir.Graph, before: set[ir.Node | None], own: set[ir.Node]) -> bool:
    for node in graph:
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer in own and producer not in before:
                return False
        if not all(_visit(inner, before, own) for inner in subgraphs(node)):
            return False
        before.add(node)
    return True
