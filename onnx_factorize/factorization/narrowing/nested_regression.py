"""Linear regression on the first rows of an order, for any number of them, by one decomposition.

With the rows of x in that order, E[x xᵀ] = L Lᵀ. The first k rows have the leading block of L for
their own, so that the weights U on them that come nearest to x W are those rows of W plus

    L₁₁⁻ᵀ L₂₁ᵀ W₂

with 1 for the first k rows and 2 for the others: no other k needs another decomposition.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...arrays import Array
from ...passes.narrowing.group import Indices
from ...runtime.paging import keep
from ..eigen import solve_transposed

__all__ = ["NestedRegression"]


@dataclasses.dataclass(frozen=True)
class NestedRegression:
    """A weight, in an order of its rows.

    Attributes:
        rows: The rows, the most important first, shape (K,).
        lower: The Cholesky factor of their second moment, shape (K, K).
        weight: W in that order, shape (K, N).
    """

    rows: Indices
    lower: Array
    weight: Array

    @classmethod
    def of(cls, rows: Indices, energy: Array, weight: Array) -> NestedRegression:
        """Decomposes.

        Args:
            rows: The order.
            energy: The second moment, positive definite, in the order of the weight: (K, K).
            weight: W, shape (K, N).
        """
        lower = np.asarray(np.linalg.cholesky(energy[np.ix_(rows, rows)]))
        return cls(rows, keep(lower), weight[rows])

    @property
    def energy(self) -> Array:
        """The second moment, in the order of the weight, shape (K, K)."""
        found = np.empty_like(self.lower)
        found[np.ix_(self.rows, self.rows)] = self.lower @ self.lower.T
        return found

    def on(self, count: int) -> tuple[Indices, Array]:
        """The first rows, in ascending order, and the weights on them, shape (count, N)."""
        others = self.lower[count:, :count].T @ self.weight[count:]
        fitted = self.weight[:count] + solve_transposed(self.lower[:count, :count], others)
        ascending = np.argsort(self.rows[:count])
        return self.rows[:count][ascending], fitted[ascending]

    def change(self, count: int) -> Array:
        """What W changes by, where only the first rows are left, shape (K, N)."""
        changed = np.empty_like(self.weight)
        changed[self.rows] = -self.weight
        rows, fitted = self.on(count)
        changed[rows] += fitted
        return changed
