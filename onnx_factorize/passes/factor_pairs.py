"""Two factors that stand in a graph, one behind the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator

import onnx_ir as ir

from ..graph import Namer
from .linear.provenance import origin_name, provenance_of
from .linear.registry import spec_of
from .linear.rewrite import Rewrite
from .linear.target import Target, target_of
from .linear.unfoldings import UNFOLDINGS

__all__ = ["FactorPair", "factor_at", "factor_pairs", "rewrite_of"]


@dataclasses.dataclass(frozen=True)
class FactorPair:
    """Two operators, one behind the other, that were one.

    Attributes:
        origin: The name of that.
        down: The first, as a target.
        up: The last.
    """

    origin: str
    down: Target
    up: Target


def factor_pairs(
    model: ir.Model,
    scope: ir.Graph,
    only: Container[str] | None = None,
    *,
    embeddings: bool = False,
) -> Iterator[FactorPair]:
    """The pairs in one graph of a model.

    Args:
        model: The model.
        scope: Its main graph, or a subgraph.
        only: The names of the operators whose factors are wanted; all by default.
        embeddings: Whether the first may be a table that rows are picked of.
    """
    for node in scope:
        origin = origin_name(node)
        if origin is None or provenance_of(node) is None:
            continue
        if only is not None and origin not in only:
            continue
        value = node.inputs[0]
        before = None if value is None else value.producer()
        if before is None or origin_name(before) != origin or _is_longer(before, origin):
            continue
        if len(before.outputs[0].uses()) > 1 or before.outputs[0].is_graph_output():
            continue
        down, up = factor_at(model, before, embedding=embeddings), factor_at(model, node)
        if down is None or up is None:
            continue
        if down.embedding or down.node.op_type == up.node.op_type:
            yield FactorPair(origin, down, _by_channels(up))


def factor_at(model: ir.Model, node: ir.Node, *, embedding: bool = False) -> Target | None:
    """A factor as a target, if nothing else reads its weight.

    Args:
        model: The model.
        node: The node.
        embedding: Whether it may be a table that rows are picked of.
    """
    spec = spec_of(node)
    if spec is None or spec.plain is None:
        return None
    layer = spec.plain.find(model, node, node.name or "")
    if isinstance(layer, str) or len(layer.weight.uses()) > 1:
        return None
    return None if layer.embedding and not embedding else target_of(layer)


def rewrite_of(model: ir.Model, names: Namer, factor: Target) -> Rewrite:
    """Makes what rewrites operators of the kind of a factor.

    Args:
        model: The model.
        names: Gives the names of what is made.
        factor: The factor.
    """
    spec = spec_of(factor.node)
    assert spec is not None
    assert spec.plain is not None
    made = spec.plain.rewrite(model, names)
    assert isinstance(made, Rewrite)
    return made


def _is_longer(first: ir.Node, origin: str) -> bool:
    """Tells whether others of the same origin stand before a node."""
    sources = [value.producer() for value in first.inputs if value is not None]
    return any(source is not None and origin_name(source) == origin for source in sources)


def _by_channels(up: Target) -> Target:
    """A factor up, with its channels alone in the rows: a kernel is in the columns."""
    seen = UNFOLDINGS["input"].of(up.unfolding)
    return up if seen is None else dataclasses.replace(up, unfolding=seen)
