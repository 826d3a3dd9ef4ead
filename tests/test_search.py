"""Predict, then measure: on a made-up model whose true losses are known."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize.allocation import Choices, allocate_global, allocate_uniform
from onnx_factorize.search import Candidate, most_measurements, search
from onnx_factorize.weighting import get_weighting

RANKS = np.arange(1, 9)
LIMIT = 20.0


class FakeTrial:
    """Measures the true losses, which the candidates need not know."""

    def __init__(self, true):
        self.true, self.measurements = true, 0

    def measure(self, ranks, weighting, metrics):
        self.measurements += 1
        factor = 1.0 if weighting.name == "fisher" else 2.0
        return factor * sum(self.true[name][rank] for name, rank in ranks.items() if rank)


def _curves(weights):
    return {name: weight * np.append(2.0 ** -np.arange(9), 0.0) for name, weight in weights.items()}


def _allocate(losses, uniform):
    choices = [
        Choices(name, np.append(RANKS, 0), np.append(RANKS, 12.0), np.append(curve[RANKS], 0.0))
        for name, curve in losses.items()
    ]
    return (allocate_uniform if uniform else allocate_global)(choices, LIMIT)


def _candidates(losses):
    fisher, activation = get_weighting("fisher"), get_weighting("activation")
    return [
        Candidate("predicted", fisher, {}, losses),
        Candidate("uniform", fisher, {}, losses, uniform=True),
        Candidate("activation", activation, {}, losses),
    ]


def test_a_right_prediction_stays():
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    trial = FakeTrial(true)
    candidates = _candidates(true)
    found = search(candidates, _allocate, trial)
    assert found.candidate.name == "predicted"
    assert found.tried["predicted"] == min(found.tried.values())
    assert trial.measurements <= most_measurements(candidates)


@pytest.mark.parametrize("factor", [0.125, 0.08])
def test_a_wrong_prediction_is_rescaled(factor):
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    wrong = {name: curve * (factor if name == "a" else 1.0) for name, curve in true.items()}
    found = search(_candidates(wrong), _allocate, FakeTrial(true))
    best = FakeTrial(true).measure(_allocate(true, uniform=False), get_weighting("fisher"), {})
    assert found.tried["predicted"] > 1.2 * best
    assert min(found.tried.values()) < 1.1 * best


def test_another_candidate_wins_where_it_is_better():
    true = _curves({"a": 1.0, "b": 1.0, "c": 1.0})
    wrong = _curves({"a": 1e6, "b": 1e-6, "c": 1e-6})
    found = search(_candidates(wrong), _allocate, FakeTrial(true))
    assert found.candidate.name == "uniform"
    assert found.tried["uniform"] < found.tried["predicted"]


def test_what_is_not_finite_never_wins():
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})

    class Broken(FakeTrial):
        def measure(self, ranks, weighting, metrics):
            value = super().measure(ranks, weighting, metrics)
            return float("inf") if weighting.name == "activation" else value

    found = search(_candidates(true), _allocate, Broken(true))
    assert found.candidate.weighting.name == "fisher"
