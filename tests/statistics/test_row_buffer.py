"""Rows that wait to be summed."""

import numpy as np
import pytest
from builders import normal
from hypothesis import given
from hypothesis import strategies as st

from onnx_factorize.statistics.moments import GradientMoments, Moments
from onnx_factorize.statistics.row_buffer import RowBuffer, RowBuffers


@given(st.lists(st.integers(0, 700), max_size=8), st.integers(1, 3))
def test_all_rows_arrive_once_and_in_order(counts, groups):
    taken = []
    buffer = RowBuffer(lambda rows: taken.append(rows.copy()))
    given_rows = [normal(number, groups, count, 2) for number, count in enumerate(counts)]
    for rows in given_rows:
        buffer.add(rows.copy())
    buffer.flush()
    buffer.flush()
    empty = [np.empty((groups, 0, 2), np.float32)]
    np.testing.assert_array_equal(
        np.concatenate(empty + taken, axis=1), np.concatenate(empty + given_rows, axis=1)
    )


def test_few_rows_wait():
    taken = []
    buffer = RowBuffer(lambda rows: taken.append(rows.shape[1]))
    for _ in range(12):
        buffer.add(normal(0, 1, 100, 3))
    assert taken == [500, 500]
    buffer.add(normal(0, 1, 2000, 3))
    assert taken == [500, 500, 200, 2000]


def test_rows_may_be_changed_while_they_wait():
    found = Moments.empty(1, 3)
    buffers, rows = RowBuffers(), normal(0, 1, 10, 3)
    buffers.add("x", found.add, rows)
    expected = Moments.of(rows.copy())
    rows[:] = 0
    assert not found.count
    buffers.flush()
    np.testing.assert_allclose(found.mean, expected.mean)


def test_rows_of_another_precision_do_not_lose_theirs():
    taken = []
    buffer = RowBuffer(lambda rows: taken.append(rows.dtype))
    buffer.add(normal(0, 1, 10, 3))
    buffer.add(normal(0, 1, 10, 3, dtype=np.float64))
    buffer.flush()
    assert taken == [np.float32, np.float64]


@pytest.mark.parametrize("kind", [Moments, GradientMoments])
def test_sums_that_single_precision_does_not_hold(kind):
    rows = np.full((1, 600, 2), 9e17, np.float32)
    rows[:, ::2] *= -1
    found = kind.empty(1, 2)
    if kind is Moments:
        found.add(rows)
        value = found.second_moment
    else:
        found.add(rows, samples=600)
        value = found.mean
    np.testing.assert_allclose(value, 9e17**2, rtol=1e-5)
