"""Meets the goal: a budget, a budget of measured time, or whatever keeps a guarantee."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from . import processes
from .allocation.calibrated import Calibrated
from .allocation.channel_prices import ChannelPrices
from .allocation.measured_plans import LateError
from .allocation.model_costs import Costs
from .allocation.plan import Plan, compress
from .calibration import Batch
from .errors import BudgetError
from .goals import guarantee_search, latency_budget, timings
from .goals.budgets import check_budget, price_of, wants_speed
from .goals.guarantee import MeasuredGuarantee
from .options import Budget, Guarantee, Options
from .passes import sign
from .progress import Progress
from .quantization.stage import quantize_best
from .quantization.storage import Quantized
from .runtime.interleaved import ROUNDS, Timing, latencies
from .runtime.latency_cache import LatencyCache
from .runtime.latency_format import SAVED
from .runtime.latency_profile import LatencyProfile
from .runtime.latency_source import Feeds
from .runtime.runtimes import runtime_of
from .runtime.session import Runtime, Session
from .runtime.this_machine import ThisMachine, time_fed

__all__ = ["GoalMet", "meet_goal"]

# What takes less milliseconds is too short to see whether it became slower.
_LEAST_MS = 0.1

# Rounds in which models are timed, at least and at most, where that decides.
_DECIDING = 5, 1000


@dataclasses.dataclass(frozen=True)
class GoalMet:
    """A compressed model, and by what it came about.

    Attributes:
        model: The model.
        plan: What was cut.
        budget: The budget that it was made with in the end.
        guarantee: How a guarantee is kept, for the report; None without one.
        latency: How a budget of time was met, for the report; None without one.
        timing: Its latency beside the dense model's, where that was measured already.
    """

    model: ir.Model
    plan: Plan
    budget: Budget
    guarantee: guarantee_search.GuaranteeOutcome | None = None
    latency: dict[str, Any] | None = None
    timing: Timing | None = None


@dataclasses.dataclass(frozen=True)
class _Compression:
    """One compression of a calibrated model.

    Attributes:
        known: The calibrated model.
        dense: The dense model, loaded.
        sample: What latency is measured on.
        options: The budget or the guarantee.
        progress: What is told how far the run is.
    """

    known: Calibrated
    dense: Session
    sample: Batch
    options: Options
    progress: Progress

    def within(
        self, budget: Budget, *, best_effort: bool = False, costs: Costs | None = None
    ) -> tuple[ir.Model, Plan]:
        """A model within a budget.

        Args:
            budget: The budget.
            best_effort: Take what comes closest.
            costs: What the dense model costs, where more is known of that than before.
        """
        asked = dataclasses.replace(self.options, budget=budget, best_effort=best_effort)
        price = price_of(budget, costs or self.known.costs)
        if self.options.promise is None:
            return compress(self.known, price, asked, self.progress)
        with self.progress.one_budget(str(budget), None):
            return compress(self.known, price, asked, self.progress)

    def timed(self, model: ir.Model, rounds: tuple[int, int] = ROUNDS) -> Timing:
        """The latency of the dense model and of another, side by side."""
        pair = [self.dense, runtime_of(self.options.runtime).session(model)]
        with self.progress.stage("time"):
            found = latencies(pair, self.sample.feeds, samples=self.sample.samples, rounds=rounds)
            self.dense.release()
            return found

    def sized(self) -> GoalMet:
        """Meets a budget of what can be counted."""
        options = self.options
        model, plan = self.within(options.budget, best_effort=options.best_effort)
        # Several processes that train one model must not each decide by a clock of its own.
        unhurried = options.prefer is None and plan.ended is None
        if unhurried and not wants_speed(options) and processes.count() == 1:
            return self._no_slower(model, plan)
        return GoalMet(model, plan, options.budget)

    def in_time(self) -> GoalMet:
        """Meets a budget of time: predicted milliseconds guide, measured ones decide."""
        known, budget = self.known, self.options.budget
        prices = ChannelPrices.of(
            known.analysis.channels.narrowings, known.targets, price_of(budget, known.costs)
        )
        source = timings.latency_source(self.options, known.dense)
        if isinstance(source, LatencyProfile):
            return self._elsewhere(prices, source)
        timed: list[tuple[ir.Model, Timing]] = []

        def measure(model: ir.Model) -> float:
            found = self.timed(model, _DECIDING)
            timed.append((model, found))
            return found.ratio().median

        model, plan, met = latency_budget.compress_in_time(
            budget,
            self._fastest_within,
            measure,
            known.costs,
            prices,
            best_effort=self.options.best_effort,
        )
        sign(model, self.options.provenance())
        # What decided is what is reported.
        timing = next(timing for made, timing in timed if made is model)
        return GoalMet(model, plan, budget, latency=met.as_dict(), timing=timing)

    def _elsewhere(self, prices: ChannelPrices, profile: LatencyProfile) -> GoalMet:
        """Meets a budget of time of another device, where it may be checked."""
        options = self.options
        model, plan, met = latency_budget.compress_by_profile(
            options.budget,
            self._fastest_within,
            self.known.costs,
            prices,
            profile,
            best_effort=options.best_effort,
        )
        sign(model, {**options.provenance(), SAVED: json.dumps(met.saved)})
        latency = {**met.as_dict(), "profile": dict(profile.conditions)}
        return GoalMet(model, plan, options.budget, latency=latency)

    def _fastest_within(self, budget: Budget, costs: Costs) -> tuple[ir.Model, Plan]:
        """A model within a budget by such costs, or else what is closest to it."""
        return self.within(budget, best_effort=True, costs=costs)

    def guaranteed(self, guarantee: Guarantee) -> GoalMet:
        """The smallest model that keeps a guarantee, as it will be written."""
        known, options = self.known, self.options
        model, plan, outcome = guarantee_search.smallest_model(
            MeasuredGuarantee.of(guarantee),
            options.prefer or "size",
            self.within,
            guarantee_search.HeldOut(self.dense, known.outputs, known.data, self.progress),
            runtime_of(options.runtime),
            finish=self._stored,
            best_effort=options.best_effort,
        )
        return GoalMet(model, plan, outcome.budget, guarantee=outcome)

    def _stored(self, model: ir.Model) -> ir.Model:
        """A model as it will be written, quantized if that was asked for."""
        known, runtime = self.known, runtime_of(self.options.runtime)
        if not isinstance(known.costs.storage, Quantized):
            return model
        with self.progress.stage("quantize"):
            return quantize_best(known, model, self.dense, runtime, known.watched).model

    def _no_slower(self, model: ir.Model, plan: Plan) -> GoalMet:
        """The same model, or one of faster cuts if this one is slower than the dense model.

        Few models become slower, and to time all cuts of all models takes long: so one looks first.
        Where the time for a search ends before another is found, the first stays.

        Args:
            model: The model.
            plan: Its plan.
        """
        timing, known, samples = self.timed(model), self.known, self.sample.samples
        met = GoalMet(model, plan, self.options.budget, timing=timing)
        before, own = timing.medians[0], timing.ratio()
        if samples * before < _LEAST_MS or not own.slower or self.progress.late:
            return met
        runtime = runtime_of(self.options.runtime)
        try:
            costs = timings.timed_costs(
                dataclasses.replace(known.costs, latency_ms=before),
                samples,
                known.normal,
                known.targets,
                self.options,
                self.progress,
                ThisMachine(LatencyCache(runtime), self._time_fed),
            )
            other = self.within(self.options.budget, costs=costs)
        except (BudgetError, LateError):
            # Not without the slower cuts: size is what was asked for.
            return met
        again = self.timed(other[0])
        faster = GoalMet(*other, self.options.budget, timing=again)
        return faster if again.ratio().median < own.median else met

    def _time_fed(
        self, models: Sequence[ir.Model], feeds: Feeds, runtime: Runtime, others: int
    ) -> list[float]:
        """Times models as long as there is time; see `time_fed`.

        Raises:
            LateError: There is none.
        """
        if self.progress.late:
            raise LateError
        return time_fed(models, feeds, runtime, others)


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
    compression = _Compression(known, dense, sample, options, progress)
    if options.promise is not None:
        return compression.guaranteed(options.promise)
    if check_budget(options.budget).timed:
        return compression.in_time()
    return compression.sized()
