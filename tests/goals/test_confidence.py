"""Confidence bounds against known quantiles, exact bounds and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize.goals.quantities.confidence import Estimate, lower_bound, ratio, upper_bound


def _coverage(draw, mean, n, bound=upper_bound):
    rng = np.random.default_rng(0)
    held = [bound(draw(rng, n)) >= mean for _ in range(2000)]
    return float(np.mean(held))


def test_the_bound_of_symmetric_samples_is_students():
    # Mean 2, deviation 2 over 3 degrees of freedom; t(0.95, 3) = 2.353, t(0.95, 19) = 1.729.
    samples = np.array([0.0, 2.0, 2.0, 4.0])
    error = samples.std(ddof=1) / 2
    assert upper_bound(samples) == pytest.approx(2 + 2.353 * error, rel=1e-2)
    samples = np.repeat([-1.0, 1.0], 10)
    error = samples.std(ddof=1) / np.sqrt(20)
    assert upper_bound(samples) == pytest.approx(1.729 * error, rel=1e-3)
    assert lower_bound(samples) == pytest.approx(-1.729 * error, rel=1e-3)


@pytest.mark.parametrize("n", [30, 200])
def test_it_covers_skewed_divergences(n):
    def draw(rng, n):
        return rng.exponential(size=n) ** 1.5

    mean = 1.3293403881791372  # Gamma(2.5)

    def plain(x):
        return x.mean() + 1.645 * x.std(ddof=1) / np.sqrt(len(x))

    assert _coverage(draw, mean, n) >= 0.9
    assert _coverage(draw, mean, n) > _coverage(draw, mean, n, plain) + 0.005


def test_too_few_samples_guarantee_nothing():
    assert upper_bound(np.array([1.0])) == np.inf
    assert lower_bound(np.array([1.0])) == -np.inf
    assert upper_bound(np.array([1.0, np.inf, 2.0])) == np.inf
    assert upper_bound(np.full(5, 0.25)) == 0.25


def test_a_ratio_and_its_spread():
    rng = np.random.default_rng(1)
    values, spreads = [], []
    for _ in range(500):
        below = rng.integers(1, 20, 100).astype(float)
        above = below * rng.exponential(0.3, 100)
        found = ratio(above, below, None)
        assert found.value == pytest.approx(found.shares.mean())
        values.append(found.value)
        spreads.append(found.shares.std(ddof=1) / 10)
    assert np.mean(spreads) == pytest.approx(np.std(values), rel=0.1)


@pytest.mark.parametrize("n", [100, 1000])
def test_samples_that_all_agree_are_bounded_by_the_rule_of_three(n):
    found = ratio(np.ones(n), np.ones(n), (0.0, 1.0))
    assert found.value == 1
    exact = 0.05 ** (1 / n)  # Clopper and Pearson's bound for no failure in n
    assert exact - 1.5 / n < lower_bound(found.shares) < exact


def test_estimates_of_the_same_samples_add():
    a, b = (Estimate(float(x.mean()), x) for x in (np.arange(4.0), np.ones(4)))
    assert (a + b).value == 2.5
    np.testing.assert_array_equal((a + b).shares, [1, 2, 3, 4])
