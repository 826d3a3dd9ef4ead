"""Predict, then measure: candidate plans, the best of them by the divergence of unseen samples.

What is predicted is second order, and from few samples uncertain. So a few plans of different
origin are measured (see `plan_evaluator`), and the best is improved by measured changes. The number
of measurements is bounded, not their time, so that a run repeats exactly.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping, Sequence

from ..factorization.forms import form_names
from .candidate import Candidate, MeasuredPlan
from .measured_plans import Allocate, LateError, MeasuredPlans, cut_of_plan
from .plan_changes import ALONE, changed, rescaled
from .plan_evaluator import PlanEvaluator

__all__ = ["Forms", "Found", "Search", "most_measurements"]

Forms = Mapping[str, Mapping[str, frozenset[str]]]

# Fewer than so many are not worth it.
_LEAST_ALONE = 4

# Changes of the best plan that are measured.
_CHANGES = 8

# Other forms of single operators that are measured.
_SWAPS = 12

# Where the best of the candidates is so many times worse than it was predicted to be, some loss is
# far off, and no candidate may be any good: so many more plans are measured, whatever they take.
_OFF = 5.0
_MORE = 13


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
        candidates: As for `Search`.
        forms: Likewise.
        most: Likewise.
    """
    alone = min(ALONE, len(candidates[0].losses))
    every = len(candidates) + alone + 1 + _CHANGES + (len(form_names()) + _SWAPS if forms else 0)
    return every if most is None else min(every, max(most, len(candidates)))


class Search:
    """Chooses among candidates by measurement, and improves the best.

    It can be ended at any time, with the best so far.

    Attributes:
        ended: By what it was ended early; None if it was not.
        broken: Whether the predicted plan gives no numbers, so that others were not measured.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        allocate: Allocate,
        evaluator: PlanEvaluator,
        forms: Forms | None = None,
        most: int | None = None,
        *,
        anyway: bool = True,
    ) -> None:
        """Prepares a search.

        Args:
            candidates: The first is the predicted one, preferred unless another is clearly better.
            allocate: From a candidate to ranks within the budget; None if it has none.
            evaluator: What measures.
            forms: Operator to its forms, and the unfoldings that each cuts; those with several
                only.
            most: The plans that may be measured, if that is bounded: the candidates are in any
                case, and then what is most likely to find a better one.
            anyway: Whether to go on where the predicted plan gives no numbers.
        """
        self._candidates, self._forms = candidates, forms or {}
        self._run = MeasuredPlans(allocate, evaluator, most)
        self._anyway = anyway
        self.ended: str | None = None
        self.broken = False

    def run(
        self, advance: Callable[[int], None] = lambda _: None, late: Callable[[], bool] = bool
    ) -> None:
        """Searches.

        Args:
            advance: Called after each measurement with 1.
            late: Tells whether the time is over.
        """
        first, *others = self._candidates
        run, run.advance, run.late = self._run, advance, late
        try:
            run.begin(first)
            self.broken = not (self._anyway or math.isfinite(run.best.divergence))
            if self.broken:
                return
            if run.left is None:
                for candidate in (rescaled(run.best, run.measure), *others):
                    run.evaluate(candidate, candidate.name)
            else:
                _evaluate_within(run, others, self._forms)
            self._improve(run)
        except LateError:
            self.ended = "time"

    def _improve(self, run: MeasuredPlans) -> None:
        if run.best.candidate.uniform:
            return
        if self._forms and run.left is None:
            _evaluate_forms(run, self._forms)
        for number in range(_CHANGES):
            if run.left == 0:
                return
            run.evaluate(changed(run.best, number), "changes of it")

    @property
    def begun(self) -> bool:
        """Tells whether a plan was measured, so that there is a best one."""
        return bool(self._run.plans)

    @property
    def found(self) -> Found:
        """The outcome, or what there is of it."""
        run = self._run
        return Found(run.best, _of_other_origins(run), _in_other_forms(run, self._forms), run.tried)


def _evaluate_within(run: MeasuredPlans, others: Sequence[Candidate], forms: Forms | None) -> None:
    """Measures the other candidates, and as long as plans may be measured what comes of them."""
    for candidate in others:
        run.evaluate(candidate, candidate.name)
    if not run.best.candidate.uniform and run.best.divergence > _OFF * run.best.predicted:
        run.left = max(run.left or 0, _MORE)
    if forms and not run.best.candidate.uniform and run.left:
        _evaluate_forms(run, forms)
    # Single cuts tell nothing by themselves: the plan that follows from them must be affordable.
    if run.left is not None and run.left > _LEAST_ALONE and not run.best.candidate.uniform:
        alone = min(ALONE, run.left - 1)
        better = rescaled(run.best, run.measure, alone)
        run.evaluate(better, better.name)


def _evaluate_forms(run: MeasuredPlans, forms: Forms) -> None:
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


def _in_other_forms(run: MeasuredPlans, forms: Forms) -> list[MeasuredPlan]:
    """The best plan of each choice of forms, the best of all left out."""
    unfoldings = {
        unfolding for each in forms.values() for cut in each.values() for unfolding in cut
    }
    return _best_of_each(run, lambda plan: frozenset(v for v in unfoldings if plan.ranks.get(v)))[
        1:
    ]


def _of_other_origins(run: MeasuredPlans) -> list[MeasuredPlan]:
    """The best plan of each origin that takes something else than the best of all."""
    plans = _best_of_each(run, lambda plan: plan.candidate.name)
    first = {cut_of_plan(plan.candidate, plan.ranks): plan for plan in reversed(plans)}
    return [plan for plan in plans if plan is first[cut_of_plan(plan.candidate, plan.ranks)]][1:]


def _best_of_each(
    run: MeasuredPlans, kind: Callable[[MeasuredPlan], Hashable]
) -> list[MeasuredPlan]:
    """The best plan of each kind, the best of all first and then the nearest."""
    plans: dict[Hashable, MeasuredPlan] = {}
    for plan in (run.best, *sorted(run.plans, key=lambda each: each.divergence)):
        plans.setdefault(kind(plan), plan)
    return list(plans.values())
