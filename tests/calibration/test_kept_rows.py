"""Rows that were read are not read again, and are the same."""

from __future__ import annotations

import numpy as np

from onnx_factorize.calibration.batch import Batch
from onnx_factorize.calibration.kept_rows import BLOCK, KeptRows

STARTS = np.array([0, 3, 3 + 2 * BLOCK])


class _Reader:
    def __init__(self):
        self.read = []

    def __call__(self, record, rows):
        self.read.append((record, rows.tolist()))
        indices = STARTS[record] + rows
        return Batch({"x": indices[:, None] * 2.0}, len(rows), None, "here", indices)


def _rows(kept, reader, record, *rows):
    batch = kept.rows(reader, record, np.array(rows))
    np.testing.assert_array_equal(batch.indices, STARTS[record] + np.array(rows))
    np.testing.assert_array_equal(batch.feeds["x"][:, 0], 2.0 * batch.indices)
    assert batch.samples == len(rows)


def test_a_block_is_read_once_whatever_is_asked_of_it():
    reader = _Reader()
    kept = KeptRows(STARTS, np.array([1, 2, 3, 5, 9, 3 + BLOCK]))
    _rows(kept, reader, 1, 2)
    _rows(kept, reader, 1, 0, 6)
    _rows(kept, reader, 1, 0, 2, 6)
    _rows(kept, reader, 0, 1, 2)
    _rows(kept, reader, 1, BLOCK)
    # One row says how large all others are: no block is read twice, for files are read forwards.
    assert reader.read == [(1, [2]), (1, [0, 2, 6]), (0, [1, 2]), (1, [BLOCK])]


def test_what_was_not_chosen_is_read_by_itself():
    reader = _Reader()
    kept = KeptRows(STARTS, np.array([1, 5]))
    _rows(kept, reader, 1, 2)
    _rows(kept, reader, 1, 2, 4)
    _rows(kept, reader, 1, BLOCK + 1)
    assert reader.read == [(1, [2]), (1, [2]), (1, [2, 4]), (1, [BLOCK + 1])]


def test_without_room_what_is_asked_for_is_read_each_time():
    reader = _Reader()
    kept = KeptRows(STARTS, np.array([0, 1, 3, 4, 5]), 16)
    _rows(kept, reader, 0, 0, 1)
    _rows(kept, reader, 1, 1)
    _rows(kept, reader, 1, 1)
    _rows(kept, reader, 0, 1)
    assert reader.read == [(0, [0]), (0, [0, 1]), (1, [1]), (1, [1])]


def test_a_block_that_does_not_fit_is_not_read_whole():
    reader = _Reader()
    kept = KeptRows(STARTS, np.array([3, 4, 5, 6]), 20)
    for _ in range(2):
        _rows(kept, reader, 1, 1, 2)
    assert reader.read == [(1, [1]), (1, [1, 2]), (1, [1, 2])]
