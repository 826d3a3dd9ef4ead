"""What a candidate buys, within the budget and in the forms that it allows."""

from __future__ import annotations

import dataclasses

import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.allocation.allocate import Purchase
from onnx_factorize.allocation.forms import cut_of
from onnx_factorize.errors import BudgetError
from onnx_factorize.factorization.forms import forms_of, views_of
from onnx_factorize.goals.budgets import price_of
from onnx_factorize.options import Options
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress


@pytest.fixture(scope="module")
def known():
    return calibrated(BUNDLED, BUNDLED_DATA, Options.of(samples=96, threads=1), Progress())


def _purchase(known, budget, **options):
    asked = Options.of(budget=budget, samples=96, threads=1, **options)
    return Purchase(known.targets, known.analysis, price_of(asked.budget, known.costs), asked)


def _of_one_form(known, form):
    several = [target.operator for target in known.targets if target.views]
    candidate = known.analysis.candidates[0]
    return dataclasses.replace(candidate, forms=dict.fromkeys(several, form))


@pytest.mark.parametrize("form", ["channel", "input", "spatial", "tucker"])
def test_only_the_form_that_is_asked_for_is_bought(known, form):
    purchase = _purchase(known, "targets=0.1")
    bought = purchase.buy(known.dense, _of_one_form(known, form))
    cuts = 0
    spent = 0
    for target in known.targets:
        cut = {v.name for v in views_of(target) if bought.ranks.get(v.name)}
        spent += cut_of(target, bought.ranks, 0).params
        if target.views and cut:
            assert cut == {view.name for view in forms_of(target)[form]}
            cuts += 1
    assert cuts > 0
    assert spent <= 0.1 * sum(target.params for target in known.targets)


def test_the_best_of_all_forms_loses_no_more(known):
    purchase = _purchase(known, "targets=0.1")
    best = sum(purchase.buy(known.dense, known.analysis.candidates[0]).losses.values())
    for form in ("channel", "input", "spatial", "tucker"):
        one = sum(purchase.buy(known.dense, _of_one_form(known, form)).losses.values())
        assert best <= 1.001 * one


def test_a_form_that_is_too_dear_buys_nothing_by_itself(known):
    """Not even the least rank of the channel form is as small as the least of any form."""
    with pytest.raises(BudgetError):
        _purchase(known, "params=1e-6")
    purchase = _purchase(known, "params=1e-6", best_effort=True)
    candidate = _of_one_form(known, "channel")
    assert purchase.allocate(known.analysis.candidates[0]) is not None
    assert purchase.allocate(candidate) is None
    bought = purchase.buy(known.dense, candidate)
    assert bought.ranks == purchase.buy(known.dense, known.analysis.candidates[0]).ranks
