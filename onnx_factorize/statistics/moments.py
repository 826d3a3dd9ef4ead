"""Sums over the rows that a target reads, and over gradients. They add, in any order."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..runtime.paging import keep

__all__ = ["GradientMoments", "Moments", "RowImportance"]


def _gram(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The sum of the products of rows, shape (rows, K), in their precision if that holds it."""
    # x.T @ x of one array is BLAS' syrk, at half the arithmetic of a product.
    with np.errstate(over="ignore", invalid="ignore"):
        found: npt.NDArray[Any] = rows.T @ rows
    if np.isfinite(np.trace(found)):  # no element is larger than the diagonal's
        return found
    wide = rows.astype(np.float64)
    return np.asarray(wide.T @ wide)


@dataclasses.dataclass
class Moments:
    """The first two moments of rows, group by group.

    Sums are taken about a reference close to the mean, that of the first rows seen, so that a
    large mean costs no precision and further rows only add (Chan, Golub and LeVeque, "Algorithms
    for computing the sample variance", 1983: the shifted-data algorithm). Products are taken in
    the rows' own precision and summed in float64.

    Attributes:
        count: Number of rows.
        reference: Shape (groups, K).
        total: Sum of rows less the reference, shape (groups, K).
        products: Sum of the products of rows less the reference, shape (groups, K, K).
    """

    count: int
    reference: Array
    total: Array
    products: Array

    @classmethod
    def of(cls, rows: npt.NDArray[Any]) -> Moments:
        """The moments of rows, shape (groups, rows, K)."""
        moments = cls.empty(rows.shape[0], rows.shape[2])
        moments.add(rows)
        return moments

    @classmethod
    def empty(cls, groups: int, rows: int) -> Moments:
        """The moments of no rows of length `rows`."""
        zero = np.zeros((groups, rows))
        return cls(0, zero, zero.copy(), keep(np.zeros((groups, rows, rows))))

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Adds rows, shape (groups, rows, K), in place."""
        if not rows.shape[1]:
            return
        work = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)
        if not self.count:
            # The reference is rounded to the rows' precision: subtracting it is then exact enough.
            mean = work.mean(axis=1, dtype=np.float64).astype(work.dtype)
            self.reference = mean.astype(np.float64)
        centred = work - self.reference.astype(work.dtype)[:, None, :]
        self.total += centred.sum(axis=1, dtype=np.float64)
        for products, group in zip(self.products, centred, strict=True):
            np.add(products, _gram(group), out=products)
        self.count += rows.shape[1]

    def merge(self, other: Moments) -> None:
        """Adds the moments of further rows, in place."""
        if not other.count:
            return
        if not self.count:
            self.reference = other.reference.copy()
        shift = other.reference - self.reference
        self.products += other.products
        # t sᵀ + s tᵀ + n s sᵀ, as one product of two columns by two rows.
        half = other.total + 0.5 * other.count * shift
        self.products += np.stack([half, shift], 2) @ np.stack([shift, half], 1)
        self.total += other.total + other.count * shift
        self.count += other.count

    @property
    def mean(self) -> Array:
        """Shape (groups, K)."""
        return self.reference + self.total / max(1, self.count)

    @property
    def scatter(self) -> Array:
        """Sum of the products of rows less their mean, shape (groups, K, K)."""
        offset = self.total / max(1, self.count)
        return self.products - self.count * offset[:, :, None] * offset[:, None, :]

    @property
    def covariance(self) -> Array:
        """Shape (groups, K, K)."""
        return self.scatter / max(1, self.count)

    @property
    def second_moment(self) -> Array:
        """E[x xᵀ], shape (groups, K, K)."""
        mean = self.mean
        return self.covariance + mean[:, :, None] * mean[:, None, :]


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
        return cls(0, keep(np.zeros((groups, width, width))))

    def add(self, rows: npt.NDArray[Any], samples: int, scale: float = 1.0) -> None:
        """Adds the gradients of some samples, in place.

        Args:
            rows: Shape (groups, rows, width).
            samples: Number of samples that they belong to.
            scale: How many positions each row stands for.
        """
        work = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)
        for total, group in zip(self.total, work, strict=True):
            product = _gram(group)
            product *= scale
            np.add(total, product, out=total)
        self.samples += samples

    def merge(self, other: GradientMoments) -> None:
        """Adds the moments of further samples, in place."""
        self.total += other.total
        self.samples += other.samples

    @property
    def mean(self) -> Array:
        """E[Σ g gᵀ], shape (groups, width, width)."""
        return self.total / max(1, self.samples)


@dataclasses.dataclass
class RowImportance:
    """The squared gradients of each row of a weight, summed over samples.

    Attributes:
        samples: Number of samples; each counts once for every draw of its labels.
        total: Shape (groups, K).
    """

    samples: int
    total: Array

    @classmethod
    def empty(cls, groups: int, rows: int) -> RowImportance:
        """The importance of `rows` rows to no sample."""
        return cls(0, np.zeros((groups, rows)))

    @classmethod
    def alike(cls, groups: int, rows: int) -> RowImportance:
        """The importance of rows of which nothing is known: all alike."""
        return cls(1, np.ones((groups, rows)))

    def add(self, squares: Array, samples: int) -> None:
        """Adds the squared gradients of some samples, shape (groups, K), in place."""
        self.total += squares
        self.samples += samples

    def merge(self, other: RowImportance) -> None:
        """Adds the importance to further samples, in place."""
        self.add(other.total, other.samples)

    @property
    def mean(self) -> Array:
        """Σ_j E[(∂L/∂w_kj)²] of each row k, shape (groups, K)."""
        return self.total / max(1, self.samples)
