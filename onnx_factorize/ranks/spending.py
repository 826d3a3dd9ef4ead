"""Spend what was asked: a budget, a budget of measured time, or whatever keeps a promise."""

from __future__ import annotations

import dataclasses
from typing import Any

import onnx_ir as ir

from ..budget import Budget
from ..calibrated import Calibrated
from ..calibration import Batch
from ..latency import budget as latency_budget
from ..options import Options
from ..passes import sign
from ..progress import Progress
from ..promise import search as promise_search
from ..quantization.quantizers import quantize
from ..session import Session, latencies
from ..storage import Quantized
from .plan import Plan, compress

__all__ = ["Spent", "spend"]


@dataclasses.dataclass(frozen=True)
class Spent:
    """A compressed model, and by what it came about.

    Attributes:
        model: The model.
        plan: What was cut.
        budget: The budget that was spent in the end.
        promise: How a promise is kept, for the report; None without one.
        latency: How a budget of time was met, for the report; None without one.
    """

    model: ir.Model
    plan: Plan
    budget: Budget
    promise: promise_search.Kept | None = None
    latency: dict[str, Any] | None = None


def spend(
    known: Calibrated, dense: Session, sample: Batch, options: Options, progress: Progress
) -> Spent:
    """Compresses as the options ask.

    Args:
        known: The calibrated model.
        dense: The dense model, loaded.
        sample: What latency is measured on.
        options: The budget or the promise.
        progress: What is told how far the run is.

    Raises:
        BudgetError: It cannot be done, and the best effort was not asked for.
    """

    def within(budget: Budget, *, best_effort: bool) -> tuple[ir.Model, Plan]:
        asked = dataclasses.replace(options, budget=budget, best_effort=best_effort)
        return compress(known.dense, known.targets, known.analysis, known.costs, asked, progress)

    def stored(model: ir.Model) -> ir.Model:
        """The model as it will be written: a promise is made of that."""
        storage = known.costs.storage
        if not isinstance(storage, Quantized):
            return model
        with progress.stage("quantize"):
            return quantize(model, storage.way, known.data)

    if options.promise is not None:
        model, plan, kept = promise_search.keep(
            options.promise,
            options.prefer,
            lambda budget: within(budget, best_effort=False),
            dense,
            known.kinds,
            known.data,
            options.runtime,
            progress,
            finish=stored,
            best_effort=options.best_effort,
        )
        return Spent(model, plan, kept.budget, promise=kept)
    if options.budget.kind != "latency":
        return Spent(*within(options.budget, best_effort=options.best_effort), options.budget)

    def ratio(model: ir.Model) -> float:
        with progress.stage("time"):
            pair = [dense, Session(model, options.runtime)]
            before, after = latencies(pair, sample.feeds)
        return after / before

    # Predicted milliseconds only guide; whether the budget is met is measured.
    model, plan, met = latency_budget.compress_in_time(
        options.budget,
        lambda budget: within(budget, best_effort=True),
        ratio,
        known.costs,
        best_effort=options.best_effort,
    )
    sign(model, options.provenance())
    return Spent(model, plan, options.budget, latency=met.as_dict())
