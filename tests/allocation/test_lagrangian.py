"""Allocation of ranks, against every possible one."""

from __future__ import annotations

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.allocation.lagrangian import (
    DENSE,
    Choices,
    _lower_hull,
    allocate_global,
    allocate_uniform,
)


@st.composite
def choices(draw, most=5):
    found = []
    for index in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, most))
        costs = np.cumsum(draw(st.lists(st.integers(1, 9), min_size=count, max_size=count)))
        drops = draw(st.lists(st.integers(0, 9), min_size=count - 1, max_size=count - 1))
        losses = np.append(np.cumsum(drops[::-1])[::-1], 0)
        ranks = np.append(np.arange(1, count), DENSE)
        found.append(
            Choices(f"t{index}", ranks, costs.astype(np.float64), losses.astype(np.float64))
        )
    return found


def _bill(items, ranks):
    picks = [int(np.flatnonzero(c.ranks == ranks[c.name])[0]) for c in items]
    cost = sum(float(c.costs[i]) for c, i in zip(items, picks, strict=True))
    return cost, sum(float(c.losses[i]) for c, i in zip(items, picks, strict=True))


def _limit(items, fraction):
    low = sum(float(c.costs[0]) for c in items)
    return low + fraction * (sum(c.dense for c in items) - low)


@hypothesis.settings(max_examples=200)
@hypothesis.given(choices(), st.floats(0, 1.2))
def test_global_against_every_allocation(items, fraction):
    limit = _limit(items, fraction)
    cost, loss = _bill(items, allocate_global(items, limit))
    assert cost <= limit
    every = [
        (
            sum(float(c.costs[i]) for c, i in zip(items, picks, strict=True)),
            sum(float(c.losses[i]) for c, i in zip(items, picks, strict=True)),
        )
        for picks in itertools.product(*(range(len(c.costs)) for c in items))
    ]
    best = min(total for price, total in every if price <= limit)
    # Lagrangian relaxation is within one step of one hull of the optimum.
    gap = max(
        (
            float(c.losses[a] - c.losses[b])
            for c in items
            for a, b in itertools.pairwise(_lower_hull(c.costs, c.losses))
        ),
        default=0.0,
    )
    assert best <= loss <= best + gap
    if fraction >= 1:
        assert loss == 0


@hypothesis.given(choices(), st.floats(0, 1))
def test_global_is_never_worse_than_any_multiplier(items, fraction):
    """Any multiplier's solution that fits is a hull solution: the result must be as good."""
    limit = _limit(items, fraction)
    _, loss = _bill(items, allocate_global(items, limit))
    for multiplier in np.geomspace(1e-3, 1e3, 61):
        picks = [int(np.argmin(c.losses + multiplier * c.costs)) for c in items]
        cost = sum(float(c.costs[i]) for c, i in zip(items, picks, strict=True))
        if cost <= limit:
            assert loss <= sum(float(c.losses[i]) for c, i in zip(items, picks, strict=True)) + 1e-9


@hypothesis.given(
    choices(12), st.floats(0, 1), st.sampled_from([allocate_global, allocate_uniform])
)
def test_nothing_that_fits_is_left_out(items, fraction, allocate):
    limit = _limit(items, fraction)
    ranks = allocate(items, limit)
    cost, _loss = _bill(items, ranks)
    assert cost <= limit
    if allocate is allocate_global:
        for item in items:
            index = int(np.flatnonzero(item.ranks == ranks[item.name])[0])
            for better in range(index + 1, len(item.costs)):
                fits = cost + item.costs[better] - item.costs[index] <= limit
                assert not (fits and item.losses[better] < item.losses[index])


@hypothesis.settings(max_examples=30)
@hypothesis.given(choices(12))
def test_more_budget_is_never_worse_on_convex_spectra(items):
    convex = [
        Choices(c.name, c.ranks, np.arange(1.0, len(c.ranks) + 1), np.sort(c.losses)[::-1])
        for c in items
    ]
    convex = [Choices(c.name, c.ranks, c.costs, (c.costs.max() - c.costs) ** 2) for c in convex]
    losses = [
        _bill(convex, allocate_global(convex, _limit(convex, f)))[1] for f in np.linspace(0, 1, 23)
    ]
    assert (np.diff(losses) <= 1e-9).all()


def _layer(name, rows, columns):
    below = -(-rows * columns // (rows + columns)) - 1
    ranks = np.arange(1, below + 1)
    return Choices(
        name,
        np.append(ranks, DENSE),
        np.append(ranks * (rows + columns), rows * columns).astype(np.float64),
        np.append(below + 1.0 - ranks, 0),
    )


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.75, 0.9])
def test_uniform_gives_every_layer_its_share(fraction):
    items = [_layer("a", 300, 200), _layer("b", 64, 512), _layer("c", 128, 128)]
    dense = sum(c.dense for c in items)
    ranks = allocate_uniform(items, fraction * dense)
    cost, _ = _bill(items, ranks)
    largest_step = max(float(c.costs[0]) for c in items)
    assert fraction * dense - largest_step < cost <= fraction * dense
    for item in items:
        share = item.costs[int(np.flatnonzero(item.ranks == ranks[item.name])[0])] / item.dense
        step = item.costs[0] / item.dense
        assert abs(share - fraction) <= step


def test_uniform_keeps_everything_where_the_budget_allows_it():
    items = [_layer("a", 30, 20), _layer("b", 16, 51)]
    assert allocate_uniform(items, sum(c.dense for c in items)) == {"a": DENSE, "b": DENSE}


@pytest.mark.parametrize("allocate", [allocate_global, allocate_uniform])
def test_below_the_cheapest(allocate):
    with pytest.raises(ValueError, match="cheapest"):
        allocate([_layer("a", 30, 20)], 49)
