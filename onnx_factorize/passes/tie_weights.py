"""Targets that read one weight become one target with siblings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from .target import Target

__all__ = ["joined"]

Side = Literal["input", "output"]


def joined(targets: Sequence[Target]) -> Target | str:
    """The first of several targets of one weight with the others as its siblings.

    All are observed on the same side of the weight: that of the lookup among them, else the narrow
    one, else the other. None has its bias corrected, for the factors serve all.

    Args:
        targets: Targets whose weights are equal, or the transpose of each other.

    Returns:
        One target; or the reason why they cannot have the same factors.
    """
    lookups = [target for target in targets if target.lookup]
    leader = lookups[0] if lookups else targets[0]
    flipped = {target: _turned(target) != _turned(leader) for target in targets}
    for target in targets:
        shape = (target.columns, target.rows) if flipped[target] else (target.rows, target.columns)
        if (target.groups, *shape) != (leader.groups, leader.rows, leader.columns):
            return "shares its weight with an operator of other groups"
    sides: list[Side] = ["output"] if lookups else [leader.side, _other(leader.side)]
    for side in sides:
        wanted = {t: _other(side) if flipped[t] else side for t in targets}
        if all(t.bias is not None or wanted[t] == "input" for t in targets):
            uses = [
                dataclasses.replace(t, centred=False, flipped=flipped[t], sided=wanted[t])
                for t in (leader, *(t for t in targets if t is not leader))
            ]
            return dataclasses.replace(uses[0], siblings=tuple(uses[1:]))
    return "shares its weight with an operator that adds what is not constant"


def _turned(target: Target) -> bool:
    """Whether a target's rows and columns are those of the transposed weight."""
    return bool(target.weight.meta.get("turned", False)) != target.weight_is_transposed


def _other(side: Side) -> Side:
    return "input" if side == "output" else "output"
