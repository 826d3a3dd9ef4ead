"""Moments of the rows that a target reads: counts, means and scatter matrices. They add."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["GradientMoments", "Moments"]

Array = npt.NDArray[np.float64]


@dataclasses.dataclass
class Moments:
    """The first two moments of rows, group by group.

    Rows are centred on their batch before their products are summed, so that a large mean costs
    no precision; batches merge by Chan, Golub and LeVeque's update ("Updating formulae and a
    pairwise algorithm for computing sample variances", 1979). Products are taken in the rows'
    own precision and summed in float64.

    Attributes:
        count: Number of rows.
        mean: Shape (groups, K).
        scatter: Sum of the products of centred rows, shape (groups, K, K).
    """

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, rows: npt.NDArray[Any]) -> Moments:
        """The moments of rows, shape (groups, rows, K)."""
        count = rows.shape[1]
        if not count:
            return cls.empty(rows.shape[0], rows.shape[2])
        work = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # the caller checks what comes out
            mean = work.mean(axis=1, dtype=np.float64)
            centred = work - mean[:, None, :].astype(work.dtype)
            # x.T @ x of one array is BLAS' syrk, at half the arithmetic of a product.
            scatter = np.stack([group.T @ group for group in centred]).astype(np.float64)
        return cls(count, mean, scatter)

    @classmethod
    def empty(cls, groups: int, rows: int) -> Moments:
        """The moments of no rows of length `rows`."""
        return cls(0, np.zeros((groups, rows)), np.zeros((groups, rows, rows)))

    def add(self, other: Moments) -> None:
        """Adds the moments of further rows, in place."""
        count = self.count + other.count
        if not other.count:
            return
        shift = other.mean - self.mean
        self.scatter += other.scatter
        weight = self.count * other.count / count
        if self.count:
            self.scatter += weight * shift[:, :, None] * shift[:, None, :]
        self.mean += shift * (other.count / count)
        self.count = count

    @property
    def covariance(self) -> Array:
        """Shape (groups, K, K)."""
        return self.scatter / max(1, self.count)

    @property
    def second_moment(self) -> Array:
        """E[x xᵀ], shape (groups, K, K)."""
        return self.covariance + self.mean[:, :, None] * self.mean[:, None, :]


@dataclasses.dataclass
class GradientMoments:
    """The second moment of gradients: summed over positions, averaged over samples.

    With the moments of the signal averaged over positions, the losses of all targets are in the
    unit of the divergence and add up.

    Attributes:
        samples: Number of samples.
        total: Sum of the products of gradients, shape (groups, width, width).
    """

    samples: int
    total: Array

    @classmethod
    def empty(cls, groups: int, width: int) -> GradientMoments:
        """The moments of no gradients of length `width`."""
        return cls(0, np.zeros((groups, width, width)))

    def add(self, rows: npt.NDArray[Any], samples: int, scale: float = 1.0) -> None:
        """Adds the gradients of some samples, in place.

        Args:
            rows: Shape (groups, rows, width).
            samples: Number of samples that they belong to.
            scale: How many positions each row stands for.
        """
        work = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)
        self.total += scale * np.stack([group.T @ group for group in work])
        self.samples += samples

    @property
    def mean(self) -> Array:
        """E[Σ g gᵀ], shape (groups, width, width)."""
        return self.total / max(1, self.samples)
