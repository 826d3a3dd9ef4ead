"""The numbers of an identity block."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...arrays import Array
from ..linear.target import Side

__all__ = ["Block"]


@dataclasses.dataclass(frozen=True)
class Block:
    """Two factors of which one holds an identity in some contiguous rows or columns, the window.

    On the output side `up` is [before | I | after], and the other matrix is `down`; on the input
    side `down` is [before; I; after], and the other matrix is `up`.

    Attributes:
        side: The side of the identity.
        start: The first column of the window, or its first row.
        matrix: The factor that is stored whole: shape (K, rank), or (rank, N).
        before: What stands before the identity: shape (rank, start), or (start, rank).
        after: What stands behind it, likewise.
    """

    side: Side
    start: int
    matrix: Array
    before: Array
    after: Array

    @property
    def rank(self) -> int:
        """The size of the identity."""
        return int(self.matrix.shape[1 if self.side == "output" else 0])

    @property
    def joined(self) -> Array:
        """The factor that holds the identity, written out."""
        eye = np.eye(self.rank)
        return np.concatenate([self.before, eye, self.after], axis=1 if self._out else 0)

    @property
    def factors(self) -> tuple[Array, Array]:
        """Both factors: shapes (K, rank) and (rank, N)."""
        return (self.matrix, self.joined) if self._out else (self.joined, self.matrix)

    @property
    def _out(self) -> bool:
        return self.side == "output"
