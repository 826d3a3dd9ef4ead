"""Curves by few of their points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnx_factorize.report.sparse import POINTS, thinned


@given(st.integers(2, 3000), st.data())
def test_few_points_hold_the_ends_the_cut_and_the_shape(size, data):
    values = np.exp(-np.arange(size) / 50)
    cut = data.draw(st.integers(0, size - 1))
    points = thinned(values, [cut])
    indices = [index for index, _ in points]
    assert len(points) <= POINTS
    assert {0, cut, size - 1} <= set(indices)
    assert indices == sorted(set(indices))
    assert all(value == values[index] for index, value in points)
    assert max(np.diff(indices)) <= 2 * size / (POINTS - 3) + 1


@pytest.mark.parametrize("size", [0, 1, 2, 9, POINTS - 1])
def test_short_curves_are_whole(size):
    values = np.arange(size, dtype=float)
    assert thinned(values) == [(i, float(i)) for i in range(size)]
