"""The ridge regression behind `refit`."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray, Array

__all__ = ["Regression"]


# Pull towards what is known. Choosing it for each target by cross-validation was worse: the error
# of a layer's values, which that looks at, is mostly in directions that do not matter.
_STRENGTH = 0.1


class Regression:
    """Fits B and s of y ≈ z B + s, pulled towards a B⁰ that is known to be good.

    The minimum over B and s of

        E‖y - z B - s‖² + λ Σ_k var(z_k) ‖B_k - B⁰_k‖²,

    in which each component z_k has its own unit. Rows are added up, not kept.
    """

    def __init__(self, rank: int, columns: int, *, centred: bool) -> None:
        """Starts from no data.

        Args:
            rank: Length of a row of z.
            columns: Length of a row of y.
            centred: Whether there is an s.
        """
        self.rows, self.rank = 0, rank
        self._centred = centred
        self._z, self._y = np.zeros(rank), np.zeros(columns)
        self._zz, self._zy = np.zeros((rank, rank)), np.zeros((rank, columns))
        self._origin: tuple[Array, ...] | None = None

    def add(self, z: AnyArray, y: AnyArray) -> None:
        """Adds rows, of shapes (rows, rank) and (rows, columns).

        Products of a batch are in the precision of its rows, and summed in double precision.
        """
        if self._origin is None:
            # Sums about a place near the mean lose no digits to it.
            near = float(self._centred)
            self._origin = tuple(near * a.mean(axis=0, dtype=np.float64) for a in (z, y))
        z, y = (a - b.astype(a.dtype) for a, b in zip((z, y), self._origin, strict=True))
        self.rows += len(z)
        self._z += z.sum(axis=0, dtype=np.float64)
        self._y += y.sum(axis=0, dtype=np.float64)
        self._zz += z.T @ z
        self._zy += z.T @ y

    @property
    def moment(self) -> Array:
        """The second moment of z, about its mean if there is an s, shape (rank, rank)."""
        mean = self._z / self.rows if self._centred else np.zeros_like(self._z)
        return np.asarray(self._zz / self.rows - np.outer(mean, mean))

    def shift(self, factor: Array) -> Array:
        """The best s for a given B, shape (columns,); zero if there is none."""
        assert self._origin is not None
        if not self._centred:
            return np.zeros_like(self._y)
        z, y = self._z / self.rows + self._origin[0], self._y / self.rows + self._origin[1]
        return np.asarray(y - z @ factor)

    def solve(self, known: Array) -> tuple[Array, Array]:
        """The fitted B, shape (rank, columns), and s, shape (columns,).

        Args:
            known: B⁰, shape (rank, columns).
        """
        assert self._origin is not None
        z, y = self._z / self.rows, self._y / self.rows
        if not self._centred:
            z, y = np.zeros_like(z), np.zeros_like(y)
        zz = self.moment
        zy = self._zy / self.rows - np.outer(z, y)
        energy = np.diag(zz)
        # A component without energy is left as it is.
        pull = _STRENGTH * np.maximum(energy, 1e-9 * max(float(energy.max()), 1e-30))
        right: Array = zy + pull[:, None] * known
        factor: Array = np.linalg.solve(zz + np.diag(pull), right).astype(np.float64)
        return factor, self.shift(factor)
