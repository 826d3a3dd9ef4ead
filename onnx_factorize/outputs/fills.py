"""Values that a graph puts where something is masked: -1e9, float32's least, minus infinity."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray

__all__ = ["find_fills", "is_fill"]


# How far from all other values a repeated one is, in units of their spread, to be none of them.
_FAR = 1e3

# A mask that is added changes a number so large by its rounding only.
_SAME = 1e-5

_LOOKED_AT = 1 << 16


def is_fill(value: AnyArray, fills: Collection[float]) -> npt.NDArray[np.bool_]:
    """Marks the elements that stand for nothing: infinite ones, and those of some values."""
    with np.errstate(invalid="ignore"):
        found = np.isinf(value)
        for fill in fills:
            found |= np.abs(value - value.dtype.type(fill)) <= _SAME * abs(fill)
    return np.asarray(found)


def find_fills(value: AnyArray) -> set[float]:
    """The values of an output, no more than one at each end, that are far from all others.

    Args:
        value: Any shape; infinities are known to be such and are not returned.
    """
    finite = value[np.isfinite(value)].astype(np.float64)
    if finite.size < 3:
        return set()
    fills: set[float] = set()
    for end in (float(finite.min()), float(finite.max())):
        there = np.abs(finite - end) <= _SAME * abs(end)
        rest = finite[~there]
        if there.sum() < 2 or not rest.size:
            continue
        # What most values are may be the fill itself, so the spread is that of the rest.
        middle = float(np.median(rest[:: max(1, rest.size // _LOOKED_AT)]))
        extent = float(np.abs(rest - middle).max())
        if abs(end - middle) > _FAR * max(extent, abs(middle), 1e-30):
            fills.add(end)
    return fills
