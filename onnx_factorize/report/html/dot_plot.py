"""A dot plot: numbers on a common logarithmic axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

__all__ = ["Dot", "dot_plot"]


@dataclasses.dataclass(frozen=True)
class Dot:
    """One row of a dot plot.

    Attributes:
        label: What it is.
        value: In nats; None if it is not finite.
        note: A remark.
        chosen: Whether it is the one that counts.
        place: Where the dot is, in percent of the axis; None where there is none.
    """

    label: str
    value: float | None
    note: str
    chosen: bool
    place: float | None


def dot_plot(rows: Iterable[tuple[str, float | None, str, bool]]) -> list[Dot]:
    """Puts (label, value, note, chosen) on an axis from the least to the largest value."""
    rows = list(rows)
    logs = [math.log10(value) for _, value, _, _ in rows if value is not None and value > 0]
    # At least a factor of ten wide, so that what is nearly equal looks so.
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    spare = max(0.0, 1.0 - (high - low)) / 2
    low, high = low - spare, high + spare
    return [
        Dot(
            label,
            value,
            note,
            chosen,
            None
            if value is None
            else 100 * (math.log10(value) - low) / (high - low)
            if value > 0
            else 0.0,
        )
        for label, value, note, chosen in rows
    ]
