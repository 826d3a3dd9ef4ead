"""Rows that wait to be summed: a product of many rows costs less than products of few.

A batch of short texts has a hundred rows. Their products take as long as those of three hundred,
and adding a matrix of products to a sum in float64 takes half as long again, however few rows made
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RowBuffer", "RowBuffers"]

# Rows that make a product worth its while.
_ENOUGH = 512


class RowBuffer:
    """Rows on their way to one sum."""

    def __init__(self, take: Callable[[npt.NDArray[Any]], None]) -> None:
        """Begins with none.

        Args:
            take: Adds rows, shape (groups, rows, width), to the sum, and keeps nothing of them.
        """
        self._take = take
        self._waiting: npt.NDArray[Any] | None = None
        self._count = 0

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Takes rows, shape (groups, rows, width), which may be changed afterwards."""
        if not self._fits(rows):
            self.flush()
        groups, count, width = rows.shape
        if count >= _ENOUGH:
            self._take(rows)
            return
        if self._waiting is None:
            self._waiting = np.empty((groups, _ENOUGH, width), rows.dtype)
        self._waiting[:, self._count : self._count + count] = rows
        self._count += count

    def flush(self) -> None:
        """Adds what waits, and lets its memory go."""
        if self._waiting is not None and self._count:
            self._take(self._waiting[:, : self._count])
        self._waiting, self._count = None, 0

    def _fits(self, rows: npt.NDArray[Any]) -> bool:
        """Tells whether rows can wait with those that do."""
        if self._waiting is None:
            return True
        return rows.dtype == self._waiting.dtype and self._count + rows.shape[1] <= _ENOUGH


class RowBuffers:
    """The buffers of several sums, by any key."""

    def __init__(self) -> None:
        """Begins with none."""
        self._buffers: dict[object, RowBuffer] = {}

    def add(
        self, key: object, take: Callable[[npt.NDArray[Any]], None], rows: npt.NDArray[Any]
    ) -> None:
        """Takes rows for the sum of a key (see `RowBuffer`)."""
        if key not in self._buffers:
            self._buffers[key] = RowBuffer(take)
        self._buffers[key].add(rows)

    def flush(self) -> None:
        """Adds what waits to all sums."""
        for each in self._buffers.values():
            each.flush()
