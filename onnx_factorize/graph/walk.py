"""The walk over graphs and their subgraphs, and what lies in them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

__all__ = ["captured", "defined", "scopes", "subgraphs", "within"]

_GRAPH, _GRAPHS = ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """Yields the graphs in a node's attributes (the branches of an If, the body of a Loop)."""
    # Every walk asks every node: few have attributes that are graphs.
    for attribute in node.attributes.values():
        kind = attribute.type
        if (kind is _GRAPH or kind is _GRAPHS) and not attribute.is_ref():
            yield from (attribute.as_graph(),) if kind is _GRAPH else attribute.as_graphs()


def scopes(
    graph: ir.Graph, owners: tuple[ir.Node, ...] = ()
) -> Iterator[tuple[ir.Graph, tuple[ir.Node, ...]]]:
    """Yields a graph and every subgraph in it with the nodes that enclose it, outermost first."""
    yield graph, owners
    for node in graph:
        for inner in subgraphs(node):
            yield from scopes(inner, (*owners, node))


def within(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yields the values that a graph and its subgraphs compute, read or return."""
    for node in graph:
        yield from (value for value in node.inputs if value is not None)
        yield from node.outputs
        for inner in subgraphs(node):
            yield from within(inner)
    yield from graph.outputs


def defined(graph: ir.Graph) -> set[ir.Value]:
    """The values that a graph and its subgraphs define."""
    found: set[ir.Value] = set()
    for scope, _ in scopes(graph):
        found.update(scope.inputs, scope.initializers.values())
        for node in scope:
            found.update(node.outputs)
    return found


def captured(graph: ir.Graph) -> dict[ir.Value, None]:
    """The values of outer graphs that a graph reads, in order."""
    own = defined(graph)
    return dict.fromkeys(value for value in within(graph) if value not in own)
