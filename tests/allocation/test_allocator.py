"""The allocation of a candidate, within the budget and in the forms that it allows."""

from __future__ import annotations

import dataclasses

import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.allocation.allocator import Allocator
from onnx_factorize.allocation.forms import cut_of
from onnx_factorize.errors import BudgetError
from onnx_factorize.factorization.forms import forms_of, unfoldings_of
from onnx_factorize.goals.budgets import price_of
from onnx_factorize.options import Options
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress


@pytest.fixture(scope="module")
def known():
    return calibrated(
        BUNDLED, BUNDLED_DATA, Options.of(samples=96, threads=1, narrow="off"), Progress()
    )


def _allocator(known, budget, **options):
    asked = Options.of(budget=budget, samples=96, threads=1, **options)
    return Allocator(known.targets, known.analysis, price_of(asked.budget, known.costs), asked)


def _of_one_form(known, form):
    several = [target.operator for target in known.targets if target.unfoldings]
    candidate = known.analysis.candidates[0]
    return dataclasses.replace(candidate, forms=dict.fromkeys(several, form))


@pytest.mark.parametrize("form", ["channel", "input", "spatial", "tucker"])
def test_only_the_form_that_is_asked_for_is_allocated(known, form):
    allocator = _allocator(known, "targets=0.1")
    allocation = allocator.allocate(known.dense, _of_one_form(known, form))
    cuts = 0
    params = 0
    for target in known.targets:
        cut = {v.name for v in unfoldings_of(target) if allocation.ranks.get(v.name)}
        params += cut_of(target, allocation.ranks, 0).params
        if target.unfoldings and cut:
            assert cut == {unfolding.name for unfolding in forms_of(target)[form]}
            cuts += 1
    assert cuts > 0
    assert params <= 0.1 * sum(target.params for target in known.targets)


def test_the_best_of_all_forms_loses_no_more(known):
    allocator = _allocator(known, "targets=0.1")
    best = sum(allocator.allocate(known.dense, known.analysis.candidates[0]).losses.values())
    for form in ("channel", "input", "spatial", "tucker"):
        one = sum(allocator.allocate(known.dense, _of_one_form(known, form)).losses.values())
        assert best <= 1.001 * one


def test_a_form_that_is_too_dear_buys_nothing_by_itself(known):
    """Not even the least rank of the channel form is as small as the least of any form."""
    with pytest.raises(BudgetError):
        _allocator(known, "params=1e-6")
    allocator = _allocator(known, "params=1e-6", best_effort=True)
    candidate = _of_one_form(known, "channel")
    assert allocator.ranks_of(known.analysis.candidates[0]) is not None
    assert allocator.ranks_of(candidate) is None
    allocation = allocator.allocate(known.dense, candidate)
    assert allocation.ranks == allocator.allocate(known.dense, known.analysis.candidates[0]).ranks
