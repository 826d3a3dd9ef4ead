"""Plans that were measured, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .candidate import Candidate, MeasuredPlan
from .plan_evaluator import PlanEvaluator

__all__ = ["Allocate", "LateError", "MeasuredPlans", "cut_of_plan"]

Allocate = Callable[[Candidate], dict[str, int] | None]
_Cut = tuple[str, tuple[tuple[str, int], ...]]

# The predicted plan is left only for one that is better by more than chance.
_MARGIN = 0.97

# A plan that diverges so many times as much as the best is not worth more samples.
_HOPELESS = 2.0


class LateError(Exception):
    """Raised where the time is over."""


class MeasuredPlans:
    """The plans that were measured, and the best of them.

    Attributes:
        left: The plans that may still be measured; None where that is not bounded.
        advance: Called after each measurement with 1.
        late: Tells whether the time is over.
        best: The best.
        plans: All plans that were measured, in order.
        tried: Plan to divergence, for the report.
    """

    best: MeasuredPlan

    def __init__(
        self, allocate: Allocate, evaluator: PlanEvaluator, left: int | None = None
    ) -> None:
        self.left = left
        self.advance: Callable[[int], None] = lambda _: None
        self.late: Callable[[], bool] = bool
        self._allocate, self._evaluator = allocate, evaluator
        self._seen: dict[_Cut, float] = {}
        self.plans: list[MeasuredPlan] = []
        self.tried: dict[str, float] = {}

    def begin(self, first: Candidate) -> None:
        """Measures the candidate that is preferred."""
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

    def measure(
        self, candidate: Candidate, ranks: Mapping[str, int], most: float = math.inf
    ) -> float:
        """The divergence of a plan; of one that diverges by more than `most`, roughly."""
        if self.plans and self.late():
            raise LateError
        key = cut_of_plan(candidate, ranks)
        if key not in self._seen:
            self._seen[key] = self._evaluator.measure(
                ranks, candidate.weighting, candidate.shrinkages, most
            )
            if self.left is not None:
                self.left = max(0, self.left - 1)
        self.advance(1)
        return self._seen[key]

    def _plan(self, candidate: Candidate) -> MeasuredPlan | None:
        ranks = self._allocate(candidate)
        if ranks is None:
            return None
        most = _HOPELESS * self.best.divergence if self.plans else math.inf
        found = self.measure(candidate, ranks, most)
        self.plans.append(MeasuredPlan(candidate, ranks, found))
        return self.plans[-1]


def cut_of_plan(candidate: Candidate, ranks: Mapping[str, int]) -> _Cut:
    """A key that tells plans apart, whatever their origin."""
    directions = f"{candidate.weighting.name} {sorted(candidate.shrinkages.items(), key=str)}"
    return directions, tuple(sorted((name, rank) for name, rank in ranks.items() if rank))
