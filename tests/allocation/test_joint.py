"""Ranks and widths at once, against every choice there is."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import hypothesis
import numpy as np
from hypothesis import strategies as st

from onnx_factorize.allocation.channel_prices import ChannelPrices, Item
from onnx_factorize.allocation.joint import allocate_jointly, cost_of
from onnx_factorize.allocation.lagrangian import Choices

WIDTHS = np.array([2, 4, 6, 8])


def _problem(layers, seed):
    """A chain of operators with channels between them, a constant beside each of these."""
    rng = np.random.default_rng(seed)
    choices, narrowings, losses = [], [], {}
    items: list[Item] = []
    for number in range(layers):
        dense = float(rng.integers(50, 200))
        costs = np.append(dense * np.array([0.3, 0.5, 0.7]), dense)
        lost = np.append(np.sort(rng.exponential(1.0, 3))[::-1], 0.0)
        choices.append(Choices(f"layer{number}", np.array([1, 2, 3, 0]), costs, lost))
        axes = tuple({g: 1.0} for g in (number - 1, number) if 0 <= g < layers - 1)
        items.append(Item(dense, axes, f"layer{number}"))
    for number in range(layers - 1):
        name = f"channels{number}"
        narrowings.append(SimpleNamespace(name=name, width=8))
        own = np.sort(rng.exponential(1.0, 9))[::-1]
        losses[name] = np.append(own[:8], 0.0)
        items.append(Item(float(rng.integers(1, 20)), ({number: 1.0},)))
    return choices, ChannelPrices(narrowings, [WIDTHS] * len(narrowings), items), losses


def _loss(plan, choices, losses):
    lost = sum(float(choice.losses[choice.index(plan)]) for choice in choices)
    return lost + sum(float(own[plan[name] or 8]) for name, own in losses.items())


def _every_plan(choices, losses):
    ranks = itertools.product(*[choice.ranks for choice in choices])
    for taken in ranks:
        for widths in itertools.product(WIDTHS, repeat=len(losses)):
            plan = dict(zip([c.name for c in choices], (int(r) for r in taken), strict=True))
            plan |= {n: 0 if w == 8 else int(w) for n, w in zip(losses, widths, strict=True)}
            names = list(losses)
            bound = {
                f"layer{k}"
                for number, name in enumerate(names)
                if plan[name]
                for k in (number, number + 1)
            }
            if not any(plan[name] for name in bound):
                yield plan


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(st.integers(2, 3), st.integers(0, 999), st.floats(0.35, 0.95))
def test_it_is_within_the_bound_and_near_the_best(layers, seed, share):
    choices, prices, losses = _problem(layers, seed)
    dense = {c.name: 0 for c in choices} | dict.fromkeys(losses, 0)
    limit = share * cost_of(dense, choices, prices)
    plan = allocate_jointly({c.name: c for c in choices}, prices, losses, limit)
    assert plan is not None
    assert cost_of(plan, choices, prices) <= limit + 1e-9
    narrowed = [name for name in losses if plan[name]]
    for name in narrowed:
        number = int(name.removeprefix("channels"))
        assert plan[f"layer{number}"] == plan[f"layer{number + 1}"] == 0
    best = min(
        _loss(each, choices, losses)
        for each in _every_plan(choices, losses)
        if cost_of(each, choices, prices) <= limit
    )
    worst = sum(float(c.losses[0]) for c in choices)
    # Few choices leave much between the points that one multiplier reaches.
    assert _loss(plan, choices, losses) <= best + 0.5 * worst


def test_nothing_goes_where_all_fits():
    choices, prices, losses = _problem(3, 0)
    dense = {c.name: 0 for c in choices} | dict.fromkeys(losses, 0)
    assert (
        allocate_jointly(
            {c.name: c for c in choices}, prices, losses, cost_of(dense, choices, prices)
        )
        == dense
    )


def test_channels_without_losses_stay():
    choices, prices, losses = _problem(3, 1)
    dense = {c.name: 0 for c in choices} | dict.fromkeys(losses, 0)
    limit = 0.6 * cost_of(dense, choices, prices)
    plan = allocate_jointly({c.name: c for c in choices}, prices, {}, limit)
    assert plan is not None
    assert not any(plan[name] for name in losses)
    assert cost_of(plan, choices, prices) <= limit


def test_what_cannot_be_met_is_none():
    choices, prices, losses = _problem(3, 2)
    assert allocate_jointly({c.name: c for c in choices}, prices, losses, 1.0) is None
