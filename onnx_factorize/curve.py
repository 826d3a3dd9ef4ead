"""The latency of an operator as a function of its rank."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .arrays import Array

__all__ = ["DENSE", "Curve"]


# The rank that stands for "keep dense" among the ranks of a target.
DENSE = 0


@dataclasses.dataclass(frozen=True)
class Curve:
    """The latency of one target, in milliseconds, a call of the runtime included.

    Attributes:
        dense: Of the dense operator.
        ranks: Ranks that were measured, increasing, shape (points,).
        times: Their latency, shape (points,); infinite where a device cannot run it.
    """

    dense: float
    ranks: tuple[int, ...]
    times: tuple[float, ...]

    def at(self, ranks: npt.NDArray[np.int64]) -> Array:
        """The latency at any ranks, in increasing order: it does not fall as the rank grows."""
        if not self.ranks:
            return np.full(len(ranks), np.inf)
        # A dip is noise, or a rank that fits the kernel's blocks better: not worth a hole.
        times = np.array(self.times)
        runs = np.isfinite(times)
        rising = np.maximum.accumulate(np.where(runs, times, 0.0))
        return np.interp(ranks, self.ranks, np.where(runs, rising, np.inf))

    def shared(self, samples: int) -> Curve:
        """The same for one of so many samples."""
        times = tuple(time / samples for time in self.times)
        return Curve(self.dense / samples, self.ranks, times)

    def of(self, rank: int) -> float:
        """The latency at one rank, or dense."""
        return self.dense if rank == DENSE else float(self.at(np.array([rank]))[0])
