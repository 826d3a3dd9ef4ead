"""Backward elimination against the loss of the best weights on what is left."""

from __future__ import annotations

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.factorization.narrowing.elimination import Elimination, Reading, eliminate


def _loss(covariance, weight, metric, kept):
    """Half of the squared error of the best weights on some rows, in a metric: by regression."""
    gone = np.setdiff1d(np.arange(len(weight)), kept)
    changed = -weight
    inner = covariance[np.ix_(kept, kept)]
    changed[kept] = np.linalg.solve(inner, covariance[np.ix_(kept, gone)] @ weight[gone])
    return 0.5 * float(np.trace(changed.T @ covariance @ changed @ metric))


def _problem(width, taps, outputs, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(width * taps).reshape(width, taps)
    seen = rng.standard_normal((4 * width * taps, width * taps))
    seen = seen @ rng.standard_normal((width * taps, width * taps))
    weight = rng.standard_normal((width * taps, outputs))
    root = rng.standard_normal((outputs, outputs))
    return scale * seen.T @ seen / len(seen), weight, root @ root.T, rows


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    st.integers(2, 24), st.sampled_from([1, 3]), st.integers(1, 6), st.sampled_from([1e-6, 1, 1e6])
)
def test_the_loss_at_each_width_is_that_of_the_best_weights(width, taps, outputs, scale):
    covariance, weight, metric, rows = _problem(width, taps, outputs, width, scale)
    found = eliminate([Reading(covariance, weight @ metric @ weight.T, rows)], width)
    assert sorted(found.order) == list(range(width))
    assert found.losses.shape == (width + 1,)
    assert (np.diff(found.losses) <= 0).all()
    assert found.losses[width] == 0
    total = 0.5 * np.trace(weight.T @ covariance @ weight @ metric)
    for kept in range(1, width):
        best = _loss(covariance, weight, metric, rows[found.kept(kept)].reshape(-1))
        assert found.losses[kept] == pytest.approx(best, rel=1e-6, abs=1e-9 * total)
    assert found.losses[0] == pytest.approx(total, rel=1e-6)


def test_losses_of_several_readers_add_up():
    problems = [_problem(8, taps, 5, seed) for taps, seed in ((1, 1), (4, 2))]
    readings = [Reading(c, w @ g @ w.T, rows) for c, w, g, rows in problems]
    found = eliminate(readings, 8)
    for kept in (2, 5):
        each = [_loss(c, w, g, rows[found.kept(kept)].reshape(-1)) for c, w, g, rows in problems]
        assert found.losses[kept] == pytest.approx(sum(each))


def test_a_channel_that_others_tell_goes_first_and_costs_nothing():
    covariance, weight, metric, rows = _problem(6, 1, 4, 0)
    mix = np.eye(6)
    mix[:, 2] = mix[:, 4] + mix[:, 5]  # channel 2 is the sum of two others
    covariance = mix.T @ covariance @ mix + 1e-9 * np.eye(6)
    found = eliminate([Reading(covariance, weight @ metric @ weight.T, np.arange(6)[:, None])], 6)
    assert found.order[-1] in (2, 4, 5)
    assert found.losses[5] < 1e-6 * found.losses[4]
    assert rows.shape == (6, 1)


def test_few_channels_are_hardly_worse_than_the_best_of_all_choices():
    ratios = []
    for seed in range(12):
        covariance, weight, metric, _ = _problem(9, 1, 6, seed)
        rows = np.arange(9)[:, None]
        found = eliminate([Reading(covariance, weight @ metric @ weight.T, rows)], 9)
        best = min(
            _loss(covariance, weight, metric, np.array(kept))
            for kept in itertools.combinations(range(9), 5)
        )
        ratios.append(found.losses[5] / best)
    assert np.mean(ratios) < 1.25


def test_many_channels_go_several_at_once():
    covariance, weight, metric, _ = _problem(400, 1, 20, 3)
    rows = np.arange(400)[:, None]
    found = eliminate([Reading(covariance, weight @ metric @ weight.T, rows)], 400)
    for kept in (100, 399):
        best = _loss(covariance, weight, metric, found.kept(kept))
        assert found.losses[kept] == pytest.approx(best, rel=1e-5)


def test_channels_stay_in_ascending_order():
    found = Elimination(np.array([3, 0, 2, 1]), np.array([4.0, 3.0, 2.0, 1.0, 0.0]))
    assert found.kept(3).tolist() == [0, 2, 3]
