"""Predict, then measure: candidate plans, the best of them by the divergence of unseen samples.

What is predicted is second order, and from few samples uncertain. So a few plans of different
origin are measured (see `plan_evaluator`), and the best is improved by measured changes. The number
of measurements is bounded, not their time, so that a run repeats exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..factorization.forms import form_names
from .candidate import Candidate, MeasuredPlan
from .plan_evaluator import PlanEvaluator

__all__ = ["Found", "most_measurements", "search"]

Array = npt.NDArray[np.float64]
Allocate = Callable[[Candidate], dict[str, int] | None]
Forms = Mapping[str, Mapping[str, frozenset[str]]]
_Cut = tuple[str, tuple[tuple[str, int], ...]]

# Targets that are cut alone to compare measured with predicted loss.
_ALONE = 20

# Fewer than so many are not worth it.
_LEAST_ALONE = 4

# Changes of the best plan that are measured.
_CHANGES = 8

# Other forms of single operators that are measured.
_SWAPS = 12

# The predicted plan is left only for one that is better by more than chance.
_MARGIN = 0.97

# A single measurement moves a prediction by no more than this factor.
_TRUST = 4.0


@dataclasses.dataclass(frozen=True)
class Found:
    """The outcome.

    Attributes:
        best: The best, its losses as measurements corrected them.
        origins: The best of each other origin, the nearest first.
        others: Plans in other forms, the nearest first.
        tried: Plan to measured divergence, in the order in which they were tried.
    """

    best: MeasuredPlan
    origins: list[MeasuredPlan]
    others: list[MeasuredPlan]
    tried: dict[str, float]


def most_measurements(
    candidates: Sequence[Candidate], forms: Forms, most: int | None = None
) -> int:
    """The candidates, the first one's targets alone, the plan that follows, and its changes.

    Args:
        candidates: As for `search`.
        forms: Likewise.
        most: Likewise.
    """
    alone = min(_ALONE, len(candidates[0].losses))
    every = len(candidates) + alone + 1 + _CHANGES + (len(form_names()) + _SWAPS if forms else 0)
    return every if most is None else min(every, max(most, len(candidates)))


def search(
    candidates: Sequence[Candidate],
    allocate: Allocate,
    evaluator: PlanEvaluator,
    advance: Callable[[int], None] = lambda _: None,
    forms: Forms | None = None,
    most: int | None = None,
) -> Found:
    """Chooses among candidates by measurement, and improves the best.

    Args:
        candidates: The first is the predicted one, preferred unless another is clearly better.
        allocate: From a candidate to ranks within the budget; None if it has none.
        evaluator: What measures.
        advance: Called after each measurement with 1.
        forms: Operator to its forms, and the unfoldings that each cuts; those with several only.
        most: The plans that may be measured, if that is bounded: the candidates are in any case,
            and then what is most likely to find a better one.
    """
    run = _Run(candidates[0], allocate, evaluator, advance, most)
    if run.left is None:
        for candidate in (_rescaled(run.best, run.measure), *candidates[1:]):
            run.evaluate(candidate, candidate.name)
    else:
        _evaluate_within(run, candidates[1:], forms)
    if not run.best.candidate.uniform:
        if forms and run.left is None:
            _evaluate_forms(run, forms)
        for number in range(_CHANGES):
            if run.left == 0:
                break
            run.evaluate(_changed(run.best, number), "changes of it")
    return Found(run.best, _of_other_origins(run), _in_other_forms(run, forms or {}), run.tried)


def _evaluate_within(run: _Run, others: Sequence[Candidate], forms: Forms | None) -> None:
    """Measures the other candidates, and as long as plans may be measured what comes of them."""
    for candidate in others:
        run.evaluate(candidate, candidate.name)
    if forms and not run.best.candidate.uniform and run.left:
        _evaluate_forms(run, forms)
    # Single cuts tell nothing by themselves: the plan that follows from them must be affordable.
    if run.left is not None and run.left > _LEAST_ALONE and not run.best.candidate.uniform:
        alone = min(_ALONE, run.left - 1)
        rescaled = _rescaled(run.best, run.measure, alone)
        run.evaluate(rescaled, rescaled.name)


class _Run:
    """The plans that were measured, and the best of them.

    Attributes:
        left: The plans that may still be measured; None where that is not bounded.
        best: The best.
        plans: All plans that were measured, in order.
        tried: Plan to divergence, for the report.
    """

    def __init__(
        self,
        first: Candidate,
        allocate: Allocate,
        evaluator: PlanEvaluator,
        advance: Callable[[int], None],
        left: int | None = None,
    ) -> None:
        self.left = left
        self._allocate, self._evaluator, self._advance = allocate, evaluator, advance
        self._seen: dict[_Cut, float] = {}
        self.plans: list[MeasuredPlan] = []
        plan = self._plan(first)
        assert plan is not None
        self.best = plan
        self.tried = {first.name: plan.divergence}

    def evaluate(self, candidate: Candidate, name: str) -> None:
        """Measures a candidate, and keeps it if it is clearly better than all before."""
        plan = self._plan(candidate)
        if plan is None:
            return
        better = plan.divergence < _MARGIN * self.best.divergence
        if better:
            self.best = plan
        if better or name == candidate.name:
            self.tried[name] = plan.divergence

    def measure(self, candidate: Candidate, ranks: Mapping[str, int]) -> float:
        """The divergence of a plan."""
        key = _cut(candidate, ranks)
        if key not in self._seen:
            self._seen[key] = self._evaluator.measure(
                ranks, candidate.weighting, candidate.shrinkages
            )
            if self.left is not None:
                self.left = max(0, self.left - 1)
        self._advance(1)
        return self._seen[key]

    def _plan(self, candidate: Candidate) -> MeasuredPlan | None:
        ranks = self._allocate(candidate)
        if ranks is None:
            return None
        self.plans.append(MeasuredPlan(candidate, ranks, self.measure(candidate, ranks)))
        return self.plans[-1]


def _evaluate_forms(run: _Run, forms: Forms) -> None:
    """Measures plans of one form for all, and other forms of what is cut."""
    start = run.best.candidate
    for form in form_names():
        if run.left == 0:
            return
        one = dataclasses.replace(start, name=f"{form} form", forms=dict.fromkeys(forms, form))
        run.evaluate(one, one.name)
    tried = set()
    for _ in range(_SWAPS):
        moves = (
            (operator, form)
            for operator in run.best.candidate.costliest(run.best.ranks)
            for form in forms.get(operator, ())
            if (operator, form) not in tried and form != _form(run.best, operator, forms)
        )
        move = next(moves, None)
        if move is None or run.left == 0:
            return
        tried.add(move)
        best, cut = run.best.candidate, run.best.candidate.costliest(run.best.ranks)
        # What stays dense is free again: it was bound where a plan of one form is the best.
        bound = {name: form for name, form in best.forms.items() if name in cut}
        one = dataclasses.replace(best, forms={**bound, move[0]: move[1]})
        run.evaluate(one, "other forms")


def _form(plan: MeasuredPlan, operator: str, forms: Forms) -> str | None:
    """The form in which an operator is cut."""
    cut = plan.candidate.cuts(plan.ranks)[operator].keys()
    return next((form for form, unfoldings in forms[operator].items() if unfoldings == cut), None)


def _in_other_forms(run: _Run, forms: Forms) -> list[MeasuredPlan]:
    """The best plan of each choice of forms, the best of all left out."""
    unfoldings = {
        unfolding for each in forms.values() for cut in each.values() for unfolding in cut
    }
    return _best_of_each(run, lambda plan: frozenset(v for v in unfoldings if plan.ranks.get(v)))[
        1:
    ]


def _of_other_origins(run: _Run) -> list[MeasuredPlan]:
    """The best plan of each origin that takes something else than the best of all."""
    plans = _best_of_each(run, lambda plan: plan.candidate.name)
    first = {_cut(plan.candidate, plan.ranks): plan for plan in reversed(plans)}
    return [plan for plan in plans if plan is first[_cut(plan.candidate, plan.ranks)]][1:]


def _best_of_each(run: _Run, kind: Callable[[MeasuredPlan], Hashable]) -> list[MeasuredPlan]:
    """The best plan of each kind, the best of all first and then the nearest."""
    plans: dict[Hashable, MeasuredPlan] = {}
    for plan in (run.best, *sorted(run.plans, key=lambda each: each.divergence)):
        plans.setdefault(kind(plan), plan)
    return list(plans.values())


def _cut(candidate: Candidate, ranks: Mapping[str, int]) -> _Cut:
    """A key that tells plans apart, whatever their origin."""
    directions = f"{candidate.weighting.name} {sorted(candidate.shrinkages.items(), key=str)}"
    return directions, tuple(sorted((name, rank) for name, rank in ranks.items() if rank))


def _rescaled(
    first: MeasuredPlan,
    measure: Callable[[Candidate, Mapping[str, int]], float],
    most: int = _ALONE,
) -> Candidate:
    """Losses scaled by what each target's cut costs when it is measured alone."""
    candidate, ranks = first.candidate, first.ranks
    planned = candidate.cuts(ranks)
    # Of what stays dense, a quarter of the full rank stands for a cut, in its first unfolding.
    unfoldings: dict[str, str] = {}
    for name in ranks:
        if name in candidate.losses:
            unfoldings.setdefault(candidate.operators.get(name, name), name)
    cuts = {
        operator: cut or {unfoldings[operator]: _quarter(candidate.losses[unfoldings[operator]])}
        for operator, cut in planned.items()
    }
    predicted = {operator: candidate.loss(cut) for operator, cut in cuts.items()}
    # What is cut counts most; of what stays dense, what would lose least is nearest to a cut.
    cut = sorted((n for n in predicted if planned[n]), key=lambda name: -predicted[name])
    dense = sorted((n for n in predicted if not planned[n]), key=lambda name: predicted[name])
    ratios, broken = {}, []
    for name in [*cut, *dense][:most]:
        if predicted[name] > 0:
            ratio = measure(candidate, cuts[name]) / predicted[name]
            if np.isfinite(ratio):
                ratios[name] = float(np.clip(ratio, 1 / _TRUST, _TRUST))
            else:
                broken.append(name)
    usual = float(np.exp(np.mean(np.log(list(ratios.values()))))) if ratios else 1.0
    losses = candidate.scaled(ratios, usual)
    rescaled = dataclasses.replace(candidate, name=f"{candidate.name}, rescaled", losses=losses)
    return rescaled.without(broken)


def _quarter(losses: Array) -> int:
    """A quarter of a full rank, but a cut: rank 0 would be none."""
    return max(1, (len(losses) - 1) // 4)


def _changed(plan: MeasuredPlan, number: int) -> Candidate:
    """The candidate with one target's loss doubled or halved, those that lose most first."""
    order = plan.candidate.costliest(plan.ranks)
    if not order:
        return plan.candidate
    name = order[number // 2 % len(order)]
    factor = 2.0 if number % 2 == 0 else 0.5
    return dataclasses.replace(plan.candidate, losses=plan.candidate.scaled({name: factor}))
