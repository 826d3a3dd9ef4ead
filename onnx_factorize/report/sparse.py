"""A long curve by few of its points, so that a report stays small."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["POINTS", "thinned"]

# Points of a curve in a report.
POINTS = 64


def thinned(
    values: npt.NDArray[np.float64], keep: Iterable[int] = (), points: int = POINTS
) -> list[tuple[int, float]]:
    """At most so many points of a curve: its ends, what is to be kept, and evenly spaced others.

    Args:
        values: The curve, shape (n,).
        keep: Indices that must be there, such as that of a cut.
        points: How many points at most; more than are to be kept, and at least two.

    Returns:
        (index, value), in the order of the indices.
    """
    last = len(values) - 1
    wanted = {0, last, *keep} if last >= 0 else set()
    room = points - len(wanted)
    if room > 0 and last > 0:
        spread = np.linspace(0, last, min(room, last + 1) + 2)[1:-1]
        wanted |= {round(float(place)) for place in spread}
    return [(index, float(values[index])) for index in sorted(wanted)]
