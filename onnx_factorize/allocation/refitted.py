"""Of several plans, the one that is best once its factors are refitted.

What refitting gains differs from plan to plan, and is not known before it is done. Some folds are
left out of the fit and measured on. The plain factors have seen them, the fit has not: where the
fit wins, it does so on unseen data.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..factorization.refit import refit
from ..passes import Factors
from .allocator import Allocation
from .plan_evaluator import PlanEvaluator

__all__ = ["Refitted", "best_refitted", "most_cuts"]

# Plans that are refitted on all samples; of more, the best after a refit on few of them.
_FINALISTS = 2

# Factors are left as they are unless refitting them gains more than chance.
_GAIN = 0.97


@dataclasses.dataclass(frozen=True)
class Refitted:
    """A model after the refit of its factors, or before it if that gains nothing.

    Attributes:
        allocation: What was refitted.
        divergence: Of unseen samples, in the end.
        factors: The factors.
        gain: What refitting multiplied the divergence of unseen samples by; None for nothing.
    """

    allocation: Allocation
    divergence: float
    factors: dict[str, Factors]
    gain: float | None = None


def best_refitted(
    allocations: Sequence[tuple[Allocation, float]],
    evaluator: PlanEvaluator,
    advance: Callable[[int], None] = lambda _: None,
) -> Refitted:
    """Refits models, and takes the best.

    Args:
        allocations: The models, each with its divergence of unseen samples.
        evaluator: What measures.
        advance: Called with 1 after each cut.
    """
    evaluator.release()
    least = evaluator.effort.fitted
    # Where the model is cheap, and there is enough to fit on, all that is measured is left out.
    thorough = evaluator.effort.thorough and evaluator.ease > 1
    thorough = thorough and int((evaluator.folds > 1).sum()) >= least
    unseen = evaluator.folds < (2 if thorough else 1)
    refitted = functools.partial(_refitted, evaluator, unseen, advance)
    if len(allocations) > _FINALISTS and int((~unseen).sum()) > least:
        quick = [refitted(least, *each).divergence for each in allocations]
        allocations = [
            allocations[number] for number in np.argsort(quick, kind="stable")[:_FINALISTS]
        ]
    most = least * (evaluator.ease if evaluator.effort.thorough else 1)
    best = min(
        (refitted(most, *each) for each in allocations), key=lambda result: result.divergence
    )
    if best.gain is None or not thorough:
        return best
    # Two folds were enough to choose by; the best is fitted on all.
    factors = _fitted(best.allocation, evaluator, np.ones_like(unseen), most)
    return dataclasses.replace(best, factors=factors)


def most_cuts(allocations: Sequence[tuple[Allocation, float]]) -> int:
    """The most cuts that are fitted to find the best of some models."""
    cuts = [len(allocation.fitted) for allocation, _ in allocations]
    return sum(cuts) + (_FINALISTS * max(cuts) if len(cuts) > _FINALISTS else 0)


def _refitted(
    evaluator: PlanEvaluator,
    unseen: npt.NDArray[np.bool_],
    advance: Callable[[int], None],
    most: int,
    allocation: Allocation,
    measured: float,
) -> Refitted:
    fitted = _fitted(allocation, evaluator, ~unseen, most, advance)
    folds = np.unique(evaluator.folds[unseen]).tolist()
    before, after = (evaluator.divergence(each, folds) for each in (allocation.factors, fitted))
    if after < _GAIN * before:
        return Refitted(allocation, measured * after / before, fitted, after / before)
    return Refitted(allocation, measured, allocation.factors)


def _fitted(
    allocation: Allocation,
    evaluator: PlanEvaluator,
    only: npt.NDArray[np.bool_],
    most: int,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Factors]:
    return refit(
        evaluator.normal,
        allocation.fitted,
        allocation.factors,
        evaluator.data,
        only,
        evaluator.runtime,
        advance,
        most,
    )
