"""Layers that read one weight become one target, with the others tied to it."""

from __future__ import annotations

from collections.abc import Sequence

from .linear.layer import Layer
from .linear.marks import shared_weight
from .linear.target import Side, Target, TiedGroup, other_side, target_of

__all__ = ["joined"]


def joined(layers: Sequence[Layer]) -> Target | str:
    """The first of several layers of one weight as a target, with the others tied to it.

    All are observed on the same side of the weight: that of the embedding among them, else the
    narrow one, else the other.

    Args:
        layers: Layers whose weights are equal, or the transpose of each other.

    Returns:
        One target; or the reason why they cannot have the same factors.
    """
    embeddings = [layer for layer in layers if layer.embedding]
    leader = embeddings[0] if embeddings else layers[0]
    flipped = {layer for layer in layers if _turned(layer) != _turned(leader)}
    for layer in layers:
        shape = (layer.own.rows, layer.own.columns)
        if layer in flipped:
            shape = shape[::-1]
        if (layer.groups, *shape) != (leader.groups, leader.own.rows, leader.own.columns):
            return "shares its weight with an operator of other groups"
    every = (leader, *(layer for layer in layers if layer is not leader))
    narrow = target_of(leader).side
    sides: list[Side] = ["output"] if embeddings else [narrow, other_side(narrow)]
    for side in sides:
        group = TiedGroup(every, frozenset(layer.name for layer in flipped), side)
        if all(each.bias is not None or group.side_of(each.name) == "input" for each in every):
            return target_of(leader, group)
    return "shares its weight with an operator that adds what is not constant"


def _turned(layer: Layer) -> bool:
    """Tells whether a layer's rows and columns are those of the transposed weight."""
    shared = shared_weight(layer.weight)
    return (shared is not None and shared.turned) != layer.transposed_weight
