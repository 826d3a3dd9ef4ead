"""Channels between operators, as reports and `inspect` list them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..factorization.narrowing.narrowing import Narrowing
from ..passes.narrowing import RefusedChannels

__all__ = ["channel_rows"]


def channel_rows(
    narrowings: Iterable[Narrowing],
    refused: Iterable[RefusedChannels],
    plan: Mapping[str, int] | None = None,
    losses: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """A row for each group of channels: those that may go, then those that may not.

    Args:
        narrowings: The channels that may be narrowed.
        refused: Those that may not, with the reasons.
        plan: Their widths by name; none where they stay.
        losses: What is predicted to be lost by the plan, by name.

    Returns:
        Plain data: `name` of the first operator that computes them, `width`, `kept`, the operators
        that `computes` and `reads` them, `loss`, and `reason` where they may not be narrowed.
    """
    found: list[dict[str, Any]] = [
        {
            "name": each.group.name,
            "width": each.width,
            "kept": (plan or {}).get(each.name) or each.width,
            "computes": [target.operator for target in each.producers],
            "reads": [target.operator for target in each.readers],
            "loss": (losses or {}).get(each.name),
            "reason": None,
        }
        for each in narrowings
    ]
    found += [
        {
            "name": each.name,
            "width": None,
            "kept": None,
            "computes": list(each.operators),
            "reads": [],
            "loss": None,
            "reason": each.reason,
        }
        for each in refused
    ]
    return found
