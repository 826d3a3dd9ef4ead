"""The trial of learning rates, on curves whose best is known."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

from onnx_factorize.torch.rate_trial import RATES, find_rate, trial_steps


def _curve(best, width=1.0, gain=0.5):
    """A divergence that starts at 1 and gains most at one rate; beyond it training diverges."""

    def measure(rate):
        if rate > 20 * best:
            return math.inf
        distance = math.log10(rate / best)
        return 1 - gain * (1 - (distance / width) ** 2)

    return measure


@pytest.mark.parametrize("best", RATES)
def test_the_best_is_found(best):
    assert find_rate(_curve(best, width=0.5), 1.0) == best


def test_of_rates_that_gain_about_as_much_the_largest_is_taken():
    assert find_rate(_curve(3e-4, width=1.5), 1.0) == 1e-3


def test_where_nothing_gains_the_smallest_is_taken():
    assert find_rate(lambda _: 2.0, 1.0) == RATES[-1]


def test_trials_end_where_smaller_rates_gain_less():
    tried = []

    def measure(rate):
        tried.append(rate)
        return _curve(3e-3)(rate)

    find_rate(measure, 1.0)
    assert tried == list(RATES[:3])


def test_trials_are_short():
    assert trial_steps(10) == 8
    assert trial_steps(1000) == 30
    assert trial_steps(10**6) == 64
