"""The bounded search on curves whose answer is known."""

from __future__ import annotations

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.goals.bounded_search import MOST, smallest


def _run(curve):
    calls = []

    def strain(budget):
        value = curve(budget)
        if value is not None:
            calls.append(budget)
        return value

    points = smallest(strain)
    assert len(calls) <= MOST
    assert [p.budget for p in points if p.strain is not None] == calls
    kept = [p.budget for p in points if p.kept]
    return (min(kept) if kept else None), points


@hypothesis.given(st.floats(0.02, 0.97), st.floats(0.3, 12.0))
def test_it_ends_within_three_percent_of_the_best(best, power):
    found, _ = _run(lambda budget: (best / budget) ** power)
    assert best <= found * (1 + 1e-12)
    assert found <= 1.03 * best


@hypothesis.given(st.floats(0.02, 0.95))
def test_a_curve_that_is_no_power_law(best):
    def curve(budget):
        # Divergence is nothing at the dense model, and explodes at small ones.
        return (1 / budget - 1) ** 2 / (1 / best - 1) ** 2 * math.exp(3 * (best - budget))

    found, _ = _run(curve)
    assert best <= found * (1 + 1e-12)
    assert found <= 1.05 * best


def test_a_power_law_takes_few_measurements():
    counts = [
        len(_run(lambda budget, best=best: (best / budget) ** 3)[1])
        for best in np.linspace(0.1, 0.9, 17)
    ]
    assert np.mean(counts) <= 6


def test_what_is_accepted_was_measured_to_keep_the_guarantee_even_on_a_jagged_curve():
    rng = np.random.default_rng(0)
    for _ in range(50):
        found, points = _run(lambda budget: (0.4 / budget) ** 3 * rng.lognormal(0, 0.3))
        assert found in [p.budget for p in points if p.strain is not None and p.strain <= 1]


def test_a_guarantee_that_nothing_keeps():
    found, points = _run(lambda _: 5.0)
    assert found is None
    assert max(p.budget for p in points) > 0.97  # it looked as near to the dense model as it could


def test_budgets_that_cannot_be_met_cost_no_measurement():
    found, points = _run(lambda budget: None if budget < 0.6 else 0.1)
    assert 0.6 <= found <= 0.615
    assert sum(p.strain is None for p in points) >= 1


def test_infinite_strain_is_broken():
    found, _ = _run(lambda budget: math.inf if budget < 0.3 else 0.5)
    assert found == pytest.approx(0.3, rel=0.03)
