"""The smallest budget that keeps a guarantee, in a bounded number of measurements."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

__all__ = ["MOST", "Point", "smallest"]

# Measurements at most; each compresses the model and runs the held-out samples.
MOST = 10

# Budgets closer than this factor are one.
_CLOSE = 1.02

# Where to begin, and the least budget that is worth a look, as fractions of the dense model.
_FIRST, _LEAST = 0.5, 0.01


@dataclasses.dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        budget: As a fraction of the dense model.
        strain: How far the guarantee is stretched there: kept up to 1, broken above; None where the
            budget cannot be met, so that nothing was measured.
    """

    budget: float
    strain: float | None

    @property
    def kept(self) -> bool:
        """Tells whether the guarantee is kept."""
        return self.strain is not None and self.strain <= 1


def smallest(strain: Callable[[float], float | None]) -> list[Point]:
    """Looks for the smallest budget at which a guarantee is kept.

    The logarithm of the budget is bisected between what breaks the guarantee and what keeps it (the
    dense model keeps any). Where both ends are measured, the next point is where the power law
    through them meets the guarantee, a little to that side from which the bracket was not tightened
    last, or the middle again if two such points in a row did not halve the bracket.

    Should strain fall as the budget grows, then the confidence of the guarantee is that of one
    measurement, although several are made on the same samples: a broken guarantee is accepted only
    if the smallest of the budgets that break it passes (fixed sequence testing: Angelopoulos et
    al., "Learn then Test", 2021).

    Args:
        strain: From a budget, as a fraction of the dense model, to how far the guarantee is
            stretched; None if the budget cannot be met, which is not counted as a measurement.

    Returns:
        All points in the order in which they were looked at; the last that kept the guarantee is
        the answer.
    """
    points: list[Point] = []
    low, high = math.log(_LEAST), 0.0
    ends: dict[bool, float | None] = {False: None, True: None}  # log strain of low and of high
    point, middling, widths = math.log(_FIRST), 0, [high - low]
    while sum(p.strain is not None for p in points) < MOST and len(points) < 2 * MOST:
        found = Point(math.exp(point), strain(math.exp(point)))
        points.append(found)
        side = found.kept
        if side:
            high = point
        else:
            low = point
        ends[side] = math.log(max(found.strain, 1e-9)) if found.strain is not None else None
        if high - low <= math.log(_CLOSE):
            break
        widths.append(high - low)
        middling = 0 if widths[-1] <= widths[-2] / 2 else middling + 1
        point = _next(low, high, ends, tightened=side, bisect=middling >= 2)
        if middling >= 2:
            middling = 0
    return points


def _next(
    low: float, high: float, ends: dict[bool, float | None], *, tightened: bool, bisect: bool
) -> float:
    """The next logarithm of a budget to look at."""
    below, above = ends[False], ends[True]
    middle = (low + high) / 2
    if bisect or below is None or above is None or not below > above or math.isinf(below):
        return middle
    root = low + (high - low) * below / (below - above)
    step = math.log(_CLOSE) / 2
    root += -step if tightened else step
    return min(max(root, low + step), high - step)
