"""Meets the goal: a budget, a budget of measured time, or whatever keeps a guarantee."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from . import processes
from .allocation.calibrated import Calibrated
from .allocation.plan import Plan, compress
from .calibration import Batch
from .errors import BudgetError
from .goals import guarantee_search, latency_budget
from .goals.budgets import check_budget, price_of, wants_speed
from .goals.guarantee import MeasuredGuarantee
from .options import Budget, Options
from .passes import sign
from .progress import Progress
from .quantization.stage import quantize_best
from .quantization.storage import Quantized
from .runtime.interleaved import Timing, latencies
from .runtime.runtimes import runtime_of
from .runtime.session import Session

__all__ = ["GoalMet", "meet_goal"]

# What takes less milliseconds is too short to see whether it became slower.
_LEAST_MS = 0.1


@dataclasses.dataclass(frozen=True)
class GoalMet:
    """A compressed model, and by what it came about.

    Attributes:
        model: The model.
        plan: What was cut.
        budget: The budget that it was made with in the end.
        guarantee: How a guarantee is kept, for the report; None without one.
        latency: How a budget of time was met, for the report; None without one.
    """

    model: ir.Model
    plan: Plan
    budget: Budget
    guarantee: guarantee_search.GuaranteeOutcome | None = None
    latency: dict[str, Any] | None = None


def meet_goal(
    known: Calibrated, dense: Session, sample: Batch, options: Options, progress: Progress
) -> GoalMet:
    """Compresses as the options ask.

    Args:
        known: The calibrated model.
        dense: The dense model, loaded.
        sample: What latency is measured on.
        options: The budget or the guarantee.
        progress: What is told how far the run is.

    Raises:
        BudgetError: It cannot be done, and the best effort was not asked for.
    """

    def within(budget: Budget, *, best_effort: bool) -> tuple[ir.Model, Plan]:
        asked = dataclasses.replace(options, budget=budget, best_effort=best_effort)
        price = price_of(budget, known.costs)
        return compress(known.start, known.targets, known.analysis, price, asked, progress)

    if options.promise is not None:
        return _guaranteed(known, dense, options, progress, within)

    def timed(model: ir.Model) -> Timing:
        pair = [dense, runtime_of(options.runtime).session(model)]
        with progress.stage("time"):
            return latencies(pair, sample.feeds, samples=sample.samples)

    if not check_budget(options.budget).timed:
        best = within(options.budget, best_effort=options.best_effort)
        # Several processes that train one model must not each decide by a clock of its own.
        if options.prefer is None and not wants_speed(options) and processes.count() == 1:
            best = _no_slower(best, timed, sample.samples, known, options, progress)
        return GoalMet(*best, options.budget)

    # Predicted milliseconds only guide; whether the budget is met is measured.
    model, plan, met = latency_budget.compress_in_time(
        options.budget,
        lambda budget: within(budget, best_effort=True),
        lambda model: timed(model).ratio().median,
        known.costs,
        best_effort=options.best_effort,
    )
    sign(model, options.provenance())
    return GoalMet(model, plan, options.budget, latency=met.as_dict())


def _guaranteed(
    known: Calibrated,
    dense: Session,
    options: Options,
    progress: Progress,
    within: Callable[..., tuple[ir.Model, Plan]],
) -> GoalMet:
    """The smallest model that keeps a guarantee, as it will be written."""
    assert options.promise is not None
    runtime, outputs = runtime_of(options.runtime), known.outputs

    def stored(model: ir.Model) -> ir.Model:
        storage = known.costs.storage
        if not isinstance(storage, Quantized):
            return model
        with progress.stage("quantize"):
            return quantize_best(
                model, storage.mode, dense, outputs, known.data, runtime, watched=known.watched
            )[0]

    model, plan, outcome = guarantee_search.smallest_model(
        MeasuredGuarantee.of(options.promise),
        options.prefer or "size",
        lambda budget: within(budget, best_effort=False),
        guarantee_search.HeldOut(dense, outputs, known.data, progress),
        runtime,
        finish=stored,
        best_effort=options.best_effort,
    )
    return GoalMet(model, plan, outcome.budget, guarantee=outcome)


def _no_slower(
    made: tuple[ir.Model, Plan],
    timed: Callable[[ir.Model], Timing],
    samples: int,
    known: Calibrated,
    options: Options,
    progress: Progress,
) -> tuple[ir.Model, Plan]:
    """The same model, or one of faster cuts if this one is slower than the dense model.

    Few models become slower, and to time all cuts of all models takes long: so one looks first.

    Args:
        made: The model and its plan.
        timed: What times the dense model and another side by side.
        samples: Samples of what they are timed on.
        known: The calibrated model.
        options: The budget, one of size.
        progress: What is told how far the run is.
    """
    timing = timed(made[0])
    before, own = timing.medians[0], timing.ratio()
    if samples * before < _LEAST_MS or not own.slower:
        return made
    costs = latency_budget.timed_costs(
        dataclasses.replace(known.costs, latency_ms=before),
        samples,
        known.normal,
        known.targets,
        options,
        progress,
    )
    asked = dataclasses.replace(options, best_effort=False)
    try:
        price = price_of(asked.budget, costs)
        other = compress(known.start, known.targets, known.analysis, price, asked, progress)
    except BudgetError:
        # Not without the slower cuts: size is what was asked for.
        return made
    return other if timed(other[0]).ratio().median < own.median else made
