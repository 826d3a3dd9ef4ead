"""Rows of calibration data that were read and decoded before, as far as there is room for them.

Every stage reads some of the same samples again: to open files, decode images and convert types
each time takes as long as to run small models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .batch import Batch, rows_of

__all__ = ["BLOCK", "KeptRows"]

# Rows read from a file at once: bounds memory when a file holds the whole data set.
BLOCK = 256

Rows = npt.NDArray[np.int64]


class KeptRows:
    """The chosen rows of all records, block by block."""

    def __init__(self, starts: Rows, chosen: Rows, room: float = math.inf) -> None:
        """Begins with nothing.

        Args:
            starts: Where in the data each record begins, and the last one ends.
            chosen: The rows of the data that will be asked for, in order.
            room: Bytes for what is kept.
        """
        self._starts, self._chosen = starts, chosen
        self._room = self._all_room = room
        # The bytes of a row. Files are read forwards: to look at each block twice, the first row
        # and then all, would read a compressed file from its beginning for every block.
        self._row: int | None = None
        self._blocks: dict[tuple[int, int], tuple[Rows, Batch]] = {}

    def within(self, room: float) -> KeptRows:
        """The same rows, nothing of which is kept yet, with other room."""
        return KeptRows(self._starts, self._chosen, room)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: nothing that is kept here."""
        return self.__dict__ | {"_room": self._all_room, "_row": None, "_blocks": {}}

    def rows(self, read: Callable[[int, Rows], Batch], record: int, rows: Rows) -> Batch:
        """Rows of one block of a record.

        Args:
            read: Reads rows of a record.
            record: The record.
            rows: The rows, counted from its first, in order and all of one block.
        """
        key = record, int(rows[0]) // BLOCK
        if key not in self._blocks and self._room > 0:
            every = self._in_block(*key)
            if self._row is None:
                self._row = _size(read(record, rows[:1]))
            if len(every) * self._row > self._room:
                self._room = 0  # what comes is alike
            elif len(every):
                self._keep(key, every, read(record, every))
        kept, batch = self._blocks.get(key, (rows[:0], None))
        if batch is None or not np.isin(rows, kept).all():
            return read(record, rows)
        if len(rows) == len(kept):
            return batch
        return rows_of(batch, np.searchsorted(kept, rows))

    def _in_block(self, record: int, block: int) -> Rows:
        """The chosen rows of a block, counted from the first of its record."""
        first = int(self._starts[record])
        start, stop = first + block * BLOCK, first + (block + 1) * BLOCK
        stop = min(stop, int(self._starts[record + 1]))
        start, stop = np.searchsorted(self._chosen, [start, stop])
        return self._chosen[start:stop] - first

    def _keep(self, key: tuple[int, int], rows: Rows, batch: Batch) -> None:
        self._blocks[key] = rows, batch
        self._row = -(-_size(batch) // max(1, len(rows)))
        self._room -= _size(batch)


def _size(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.feeds.values())
