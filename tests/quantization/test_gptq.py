"""Rounding of rows that make up for each other's errors, beside all that could be chosen."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onnx_factorize.quantization.gptq import nearest, quadratic_loss, round_jointly


def _problem(seed, rows, columns, samples, decay=0.1):
    """A weight, the second moment of what it multiplies, and steps of blocks of 8 rows."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((rows, rows)) * np.geomspace(1, decay, rows)[:, None]
    x = rng.standard_normal((samples, rows)) @ mixed
    weight = rng.standard_normal((rows, columns))
    largest = [np.abs(weight[start : start + 8]).max(axis=0) for start in range(0, rows, 8)]
    steps = np.repeat(largest, 8, axis=0)[:rows] / 8
    return weight, x.T @ x, steps


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 70),
    columns=st.integers(1, 5),
    samples=st.integers(1, 200),
)
def test_nothing_is_lost_beside_the_nearest_levels(seed, rows, columns, samples):
    weight, moment, steps = _problem(seed, rows, columns, samples)
    found = round_jointly(weight, moment, steps)
    assert ((found >= -8) & (found <= 7) & (found == np.rint(found))).all()
    lost = quadratic_loss(weight - found * steps, moment)
    alone = quadratic_loss(weight - nearest(weight, steps) * steps, moment)
    assert (lost <= alone * (1 + 1e-12)).all()


def test_it_comes_close_to_the_best_of_all_codes():
    every = np.array(list(itertools.product(range(-8, 8), repeat=4)), float).T
    beyond, spared = 0.0, 0.0
    for seed in range(8):
        weight, moment, steps = _problem(seed, 4, 1, 40, decay=0.02)
        best = quadratic_loss(weight - every * steps, moment).min()
        codes = round_jointly(weight, moment, steps)
        assert (codes[None, ..., 0] == every.T).all(axis=1).sum() == 1
        (lost,) = quadratic_loss(weight - codes * steps, moment)
        (alone,) = quadratic_loss(weight - nearest(weight, steps) * steps, moment)
        assert lost >= best * (1 - 1e-9)
        beyond, spared = beyond + lost - best, spared + alone - best
    assert beyond < 0.3 * spared


def test_much_is_gained_where_rows_vary_together():
    weight, moment, steps = _problem(0, 64, 16, 400, decay=0.01)
    lost = quadratic_loss(weight - round_jointly(weight, moment, steps) * steps, moment)
    alone = quadratic_loss(weight - nearest(weight, steps) * steps, moment)
    assert lost.sum() < 0.2 * alone.sum()


def test_a_weight_on_the_levels_is_exact():
    rng = np.random.default_rng(1)
    codes = rng.integers(-8, 8, (40, 6)).astype(float)
    steps = rng.uniform(0.1, 2.0, (40, 6))
    _, moment, _ = _problem(2, 40, 1, 30)
    assert (round_jointly(codes * steps, moment, steps) == codes).all()


def test_rows_that_are_always_zero_are_rounded_to_the_nearest_level():
    weight, moment, steps = _problem(3, 24, 5, 100)
    dead = [0, 7, 23]
    moment[dead], moment[:, dead] = 0, 0
    found = round_jointly(weight, moment, steps)
    assert (found[dead] == nearest(weight, steps)[dead]).all()
    nothing = round_jointly(weight, np.zeros((24, 24)), steps)
    assert (nothing == nearest(weight, steps)).all()


def test_blocks_of_zeros_have_no_step():
    weight, moment, steps = _problem(4, 16, 3, 60)
    weight[:8, 1], steps[:8, 1] = 0, 0
    found = round_jointly(weight, moment, steps)
    assert np.isfinite(found).all()
    assert (found[:8, 1] == 0).all()


def test_steps_may_be_negative():
    weight, moment, steps = _problem(5, 16, 3, 60)
    found = round_jointly(weight, moment, -steps)
    lost = quadratic_loss(weight + found * steps, moment)
    assert (lost < quadratic_loss(weight, moment)).all()
