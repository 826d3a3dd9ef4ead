"""Find the parts of an output: elements of similar role and spread.

A detector gives boxes in pixels beside scores, a regressor targets in different units, an embedding
may have one large channel. With one variance for all, what is small would count for nothing. So the
axis is looked for along which the spread differs most; elements along it whose deviations are of
one order form a part, and so do probabilities, whatever their spread: a class that never occurs is
one of the classes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from .distribution import blocks

__all__ = ["AxisMoments", "Parts", "find_parts"]

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Deviations that differ by less from one element to the next, in order of size, are of one part.
_GAP = 4.0

# A smaller range of deviations along an axis is no reason for parts.
_RANGE = 4.0

# An element's variance is at least such a share of that of its part.
_LEAST = 0.1

# More parts than this are no parts, but elements that all differ: the smallest gaps are closed.
_MOST_PARTS = 8

# Elements along an axis with as few numbers each tell little of their spread.
_LEAST_COUNT = 8


@dataclasses.dataclass
class AxisMoments:
    """Sums over all that lies along the other axes, for each element along one axis.

    Attributes:
        count: Numbers seen, shape (length,).
        total: Their sum.
        squares: The sum of their squares.
        least: The least of them.
        most: The most.
    """

    count: Float
    total: Float
    squares: Float
    least: Float
    most: Float

    @classmethod
    def empty(cls, length: int) -> AxisMoments:
        """Nothing seen."""
        count, total, squares = np.zeros((3, length))
        return cls(count, total, squares, np.full(length, np.inf), np.full(length, -np.inf))

    def add(self, rows: AnyArray, valid: npt.NDArray[np.bool_]) -> None:
        """Adds numbers, shape (n, length), where they are valid."""
        for few in blocks(rows.shape):
            self._add(rows[few].astype(np.float64), valid[few])

    def _add(self, rows: Float, valid: npt.NDArray[np.bool_]) -> None:
        self.count += valid.sum(axis=0)
        kept = np.where(valid, rows, 0)
        self.total += kept.sum(axis=0)
        self.squares += np.square(kept).sum(axis=0)
        self.least = np.minimum(self.least, np.where(valid, rows, np.inf).min(axis=0))
        self.most = np.maximum(self.most, np.where(valid, rows, -np.inf).max(axis=0))

    @property
    def variances(self) -> Float:
        """Of each element about its own mean, shape (length,)."""
        count = np.maximum(self.count, 1)
        mean = self.total / count
        # What is left of the difference of two large numbers is not below their rounding.
        rounding = 1e-14 * self.squares / count
        found = self.squares / count - mean**2
        return np.where(found > rounding, found, 0.0)

    @property
    def are_probabilities(self) -> npt.NDArray[np.bool_]:
        """Marks the elements that were always from 0 to 1, and reached low enough to be scores."""
        return (self.least >= 0) & (self.most <= 1) & (self.count > 0)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts along an axis.

    Attributes:
        names: Of each part: `all`, or its places.
        part_of: The part of each element, shape (length,).
        variances: Of each element, shrunk towards that of its part.
        deviations: Of each part.
        spread: How much deviations differ along the axis: the standard deviation of their
            logarithms.
    """

    names: tuple[str, ...]
    part_of: Ints
    variances: Float
    deviations: tuple[float, ...]
    spread: float


def find_parts(moments: AxisMoments, axis: int) -> Parts | None:
    """Divides the elements along an axis; None if nothing moves along it.

    Args:
        moments: What was seen of them.
        axis: Which axis, for names.
    """
    variances = moments.variances
    moving = variances > 0
    if not moving.any():
        return None
    logs = 0.5 * np.log(variances[moving])
    spread = float(logs.std())
    part_of = np.zeros(len(variances), np.int64)
    enough = np.median(moments.count) >= _LEAST_COUNT
    if enough and np.ptp(logs) > np.log(_RANGE):
        scores = moments.are_probabilities
        if scores.sum() < 2:
            scores = np.zeros(len(variances), bool)
        part_of[scores] = -1
        others = moving & ~scores
        part_of[others] = _clusters(0.5 * np.log(variances[others]))
        # What never moves has no scale of its own: it is of the part of its neighbour.
        for still in np.flatnonzero(~moving & ~scores):
            known = np.flatnonzero(moving | scores)
            part_of[still] = part_of[known[np.abs(known - still).argmin()]]
        part_of = np.unique(part_of, return_inverse=True)[1].reshape(-1)
    number = int(part_of.max()) + 1
    shrunk = np.empty(len(variances))
    deviations = []
    for part in range(number):
        own = part_of == part
        weights = moments.count[own] * moving[own]
        mean = float((variances[own] * weights).sum() / max(float(weights.sum()), 1e-300))
        mean = mean or 1.0
        shrunk[own] = mean * np.maximum(_LEAST, np.sqrt(variances[own] / mean))
        deviations.append(float(np.sqrt(mean)))
    names = ("all",) if number == 1 else tuple(_places(part_of == p, axis) for p in range(number))
    return Parts(names, part_of, shrunk, tuple(deviations), spread)


def _clusters(logs: Float) -> Ints:
    """Numbers in order of size are of one cluster as long as no gap is between them."""
    if not len(logs):
        return np.zeros(0, np.int64)
    order = np.argsort(logs)
    gaps = np.diff(logs[order])
    limit = np.log(_GAP)
    if (gaps > limit).sum() >= _MOST_PARTS:
        limit = np.sort(gaps)[-_MOST_PARTS]
    labels = np.empty(len(logs), np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(gaps > limit)])
    return labels


def _places(own: npt.NDArray[np.bool_], axis: int) -> str:
    """The places of a part, as ranges."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], own, [False]]).astype(int)))
    runs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    said = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:3])
    return f"axis {axis}: {said}{', …' if len(runs) > 3 else ''}"
