"""Uncertainty of what few samples say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnx_factorize.uncertainty import share_interval, standard_error


def test_the_standard_error_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(4000, 25))
    errors = [standard_error(row) for row in draws]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(draws.mean(1).std(), rel=0.03)


@pytest.mark.parametrize("draws", [None, np.array([1.0]), np.array([1.0, np.inf])])
def test_what_does_not_tell_has_none(draws):
    with np.errstate(invalid="ignore"):
        assert standard_error(draws) is None


@given(st.integers(1, 300), st.data())
def test_an_interval_holds_the_share(samples, data):
    right = data.draw(st.integers(0, samples))
    low, high = share_interval(right / samples, samples)
    assert 0 <= low <= right / samples <= high <= 1
    assert high - low > 0


def test_intervals_hold_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    for share in (0.5, 0.9):
        found = rng.binomial(60, share, size=4000) / 60
        inside = [low <= share <= high for low, high in (share_interval(f, 60) for f in found)]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
