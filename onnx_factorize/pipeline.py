"""The pipeline, in the order in which data flow through it."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor

import numpy as np
import onnx_ir as ir

from .allocation.calibrated import Calibrated
from .allocation.gathering import HERE, Known
from .allocation.identity_blocks import written_as_blocks
from .allocation.model_costs import measure_costs
from .allocation.plan import Plan
from .calibration import Calibration
from .evaluation import compare_outputs
from .evaluation.stream import MOST_STEPS, along_stream
from .files import model_io
from .finetune.recovery import recover
from .finetune.training import Recovery
from .goals import guarantee_search
from .goals.quantities.own_metric import OwnMetric
from .meet_goal import meet_goal
from .options import Options
from .parallel import one_blas_thread
from .passes.identity_blocks import WritePairs
from .prepared import prepare
from .progress import Progress
from .quantization.stage import quantized
from .report.summary import Made, summarize
from .result import Result
from .runtime.interleaved import latencies
from .runtime.randomness import randomness_of
from .runtime.runtimes import runtime_of
from .runtime.session import Session
from .statistics.losses_file import keep_losses, kept_losses
from .statistics.statistics_file import load
from .workers.rounds import hired
from .workers.shared_out import SharedOut

__all__ = ["calibrated", "compressed", "run"]


def run(
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    executor: Executor | None = None,
    *,
    dry: bool = False,
) -> Result:
    """The pipeline behind `factorize`: read it to see how the parts fit."""
    progress.limit(options.max_time)
    known = calibrated(source, calibration, options, progress, executor, dry=dry)
    return compressed(known, options, progress)


def calibrated(
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    executor: Executor | None = None,
    *,
    dry: bool = False,
) -> Calibrated:
    """The first half of the pipeline: what does not depend on the budget.

    Args:
        source: The model.
        calibration: The calibration data.
        options: All options.
        progress: What is told how far the run is.
        executor: What runs workers among whom the calibration is shared out; None for processes of
            its own, if the options ask for any.
        dry: Whether nothing may be written, not even beside a file of statistics.
    """
    if options.statistics is not None:
        return _from_statistics(options.statistics, source, calibration, options, progress, dry=dry)
    with hired(executor, options) as workers:
        prepared = prepare(source, calibration, options, progress)
        shared_out = HERE if workers is None else SharedOut(prepared, options, workers)
        return prepared.calibrated(options, shared_out)


def _from_statistics(
    file: str,
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    *,
    dry: bool,
) -> Calibrated:
    """The calibrated model by statistics in a file, beside which losses are kept."""
    part = load(file)
    known = Known(part, file, cross_validated=kept_losses(file, part.shared))
    prepared = prepare(source, calibration, options, progress, part.shared, file)
    made = prepared.calibrated(options, known)
    found = made.analysis.cross_validated
    if found is not None and found is not known.cross_validated and not dry:
        keep_losses(file, part.shared, found)
    return made


@one_blas_thread
def compressed(known: Calibrated, options: Options, progress: Progress) -> Result:
    """The second half of the pipeline: meet the goal, verify what comes of it."""
    runtime, data, guard = runtime_of(options.runtime), known.data, known.analysis.guard
    sample = data.typical("holdout")

    dense = runtime.session(known.dense, known.watched)
    met = meet_goal(known, dense, sample, options, progress)
    model, plan, recovery = met.model, met.plan, None
    if options.finetune:
        asked = dataclasses.replace(options, budget=met.budget)
        model, plan, recovery = _trained(known, dense, model, plan, asked, progress)
        known = written_as_blocks(known, model, plan.ranks, options)
    model, quantization = quantized(known, model, options, progress)

    pair = dense, runtime.session(model, known.watched)
    guarantee = met.guarantee
    if guarantee is not None and recovery is not None:
        held_out = guarantee_search.HeldOut(dense, known.outputs, data, progress)
        guarantee = guarantee_search.confirmed(
            guarantee, pair[1], held_out, best_effort=options.best_effort
        )

    served = pair
    if runtime.deployed != runtime:
        models = known.dense, model
        first, last = (runtime.deployed.session(each, known.watched) for each in models)
        served = first, last

    own = [OwnMetric(known.outputs, options.metric, "--metric")] if options.metric else []
    again = min(data.holdout_samples, data.calibration_samples)
    with progress.stage("verify", data.holdout_samples + again) as advance:
        holdout = compare_outputs(
            *served,
            known.outputs,
            data,
            "holdout",
            None,
            advance,
            finite=False,
            also=own,
        )
        if not np.isfinite(holdout.divergence) and guard and guard.include_holdout():
            return compressed(known, options, progress)
        seen = compare_outputs(
            *served, known.outputs, data, "calibration", again, advance, finite=False
        )

    stream = None
    if known.state is not None:
        with progress.stage("verify along the stream", min(MOST_STEPS, data.available)) as advance:
            stream = along_stream(*served, known.outputs, data, known.state, advance=advance)

    with progress.stage("time"):
        costs = measure_costs(model, sample, runtime, location=known.costs.storage.location)
        if quantization is not None:
            costs = quantization.costs_of(costs)
        # What training and quantization left as it was may have been timed already.
        timing = met.timing if model is met.model else None
        for session in pair:
            session.release()
        timing = timing or latencies(pair, sample.feeds, samples=sample.samples)

    made = Made(
        dataclasses.replace(options, budget=met.budget),
        known,
        plan,
        costs,
        timing,
        holdout,
        seen,
        stream,
        None if guarantee is None else guarantee.as_dict(),
        met.latency,
        recovery,
        quantization,
        randomness_of(dense),
        own[0].figures() if own and np.isfinite(holdout.divergence) else None,
        model,
    )
    return Result(model, summarize(made, progress.seconds), model_io.is_external(known.dense))


def _trained(
    known: Calibrated,
    dense: Session,
    model: ir.Model,
    plan: Plan,
    options: Options,
    progress: Progress,
) -> tuple[ir.Model, Plan, Recovery]:
    """The model trained towards the dense one, and what became of it."""
    data, runtime = known.data, runtime_of(options.runtime)
    WritePairs()(model)  # both factors are trained, whatever is written of them
    start = dense, runtime.session(model, known.watched)
    with progress.stage("verify", data.holdout_samples) as advance:
        untrained = compare_outputs(
            *start, known.outputs, data, "holdout", advance=advance, finite=False
        )
    model, plan, recovery = recover(known, model, plan, options, progress)
    recovery.untrained = untrained.divergence
    return model, plan, recovery
