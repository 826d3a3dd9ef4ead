"""Cut the order of a graph's nodes into segments of bounded weights, where few values cross."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx_ir as ir

from ...arrays import Array
from ...graph import captured, subgraphs
from ..begin_at import gives_constants

__all__ = ["NotSegmentedError", "Reads", "partition"]

# What a crossing number costs that is no float: lengths, places and masks are small beside hidden
# states. A cut by itself costs a little, so that segments are no smaller than they must be.
_SMALL = 0.05
_CUT = 0.01

# The share of one node in all weights above which segments are worth nothing.
_NEARLY_ALL = 0.9


class NotSegmentedError(Exception):
    """A graph cannot be cut into segments; the message says why, after "because"."""


class Reads:
    """What the nodes of a main graph read.

    Nodes that compute constants belong to those that read them: every segment has copies of its
    own.

    Attributes:
        constants: The values that they compute.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self.constants: set[ir.Value] = set()
        for node in graph:
            if gives_constants(node, self.constants):
                self.constants.update(node.outputs)

    def computing(self) -> list[ir.Node]:
        """The nodes that compute something of what is fed, in order."""
        return [
            node
            for node in self._graph
            if not (node.outputs and all(value in self.constants for value in node.outputs))
        ]

    def of(self, node: ir.Node) -> Iterator[ir.Value]:
        """Yields the values of the main graph that a node reads, or a graph within it."""
        yield from (value for value in node.inputs if value is not None)
        for graph in subgraphs(node):
            yield from (value for value in captured(graph) if value.graph is self._graph)

    def weights(self, node: ir.Node) -> set[ir.Value]:
        """The initializers that a node reads, itself or through constants."""
        found: set[ir.Value] = set()
        waiting = list(self.of(node))
        while waiting:
            value = waiting.pop()
            if value.is_initializer():
                found.add(value)
            elif value in self.constants:
                producer = value.producer()
                assert producer is not None
                waiting.extend(self.of(producer))
        for graph in subgraphs(node):
            for inner in (graph, *graph.subgraphs()):
                found.update(inner.initializers.values())
        return found


def partition(model: ir.Model, most: float) -> list[list[ir.Node]]:
    """The nodes of a main graph, but for those of constants, in consecutive segments.

    Of all ways to cut in which no segment of several nodes has more weights than it may, the one
    with the least crossing: values of floating point that are computed before a cut and read behind
    it, summed over the cuts.

    Args:
        model: The model, its nodes in topological order; it is only read.
        most: Bytes of weights of one segment, at most; a single node may have more.

    Raises:
        NotSegmentedError: There is nothing to gain: one segment is all, or nearly all.
    """
    reads = Reads(model.graph)
    nodes = reads.computing()
    sizes = [_bytes(reads.weights(node)) for node in nodes]
    total = sum(sizes)
    if total <= most:
        raise NotSegmentedError(f"its weights are no more than {most / 1e6:.0f} MB")
    largest = int(np.argmax(sizes))
    if sizes[largest] > _NEARLY_ALL * total:
        within = next(iter(subgraphs(nodes[largest])), None)
        said = "stand in" if within is not None else "are those of"
        node = nodes[largest]
        raise NotSegmentedError(
            f"{sizes[largest] / total:.0%} of its weights {said} the one node '{node.name}' "
            f"({node.op_type})"
        )
    bounds = _cheapest(_crossing(reads, nodes), np.cumsum([0.0, *sizes]), most)
    return [nodes[a:b] for a, b in itertools.pairwise(bounds)]


def _bytes(weights: Iterable[ir.Value]) -> float:
    return float(sum(v.const_value.nbytes for v in weights if v.const_value is not None))


def _crossing(reads: Reads, nodes: Sequence[ir.Node]) -> Array:
    """The cost of a cut before each node, shape (nodes,)."""
    place = {value: i for i, node in enumerate(nodes) for value in node.outputs}
    last = dict.fromkeys(place, 0)
    for i, node in enumerate(nodes):
        for value in reads.of(node):
            if value in place:
                last[value] = i
    change = np.zeros(len(nodes) + 1)
    for value, made in place.items():
        if last[value] > made:
            small = value.dtype is not None and not value.dtype.is_floating_point()
            change[made + 1] += _SMALL if small else 1.0
            change[last[value] + 1] -= _SMALL if small else 1.0
    return np.asarray(np.cumsum(change)[:-1] + _CUT)


def _cheapest(cost: Array, weight: Array, most: float) -> list[int]:
    """Where segments begin, and where the last one ends, by dynamic programming.

    Args:
        cost: Of a cut before each node, shape (nodes,).
        weight: Of all nodes before each, shape (nodes + 1,).
        most: Weight of a segment, at most.
    """
    count = len(cost)
    best, begun = np.zeros(count + 1), np.zeros(count + 1, np.int64)
    for end in range(1, count + 1):
        first = min(end - 1, int(np.searchsorted(weight, weight[end] - most, "left")))
        starts = best[first:end] + np.where(np.arange(first, end) > 0, cost[first:end], 0.0)
        begun[end] = first + int(np.argmin(starts))
        best[end] = starts[begun[end] - first]
    bounds = [count]
    while bounds[-1]:
        bounds.append(int(begun[bounds[-1]]))
    return bounds[::-1]
