"""The pipeline, in the order in which data flow through it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from .allocation.analysis import analyze
from .allocation.calibrated import Calibrated
from .allocation.forms import restricted
from .allocation.identity_blocks import as_identity_blocks, check_blocks, written_as_blocks
from .allocation.model_costs import Costs, measure_costs
from .allocation.plan import Plan
from .allocation.storage import External
from .calibration import Calibration, CalibrationData, Signature, open_calibration
from .check_options import check_options
from .evaluation import compare_outputs
from .evaluation.state import find_state
from .evaluation.stream import MOST_STEPS, along_stream
from .factorization.weightings import get_weighting
from .files import model_io
from .finetune.recovery import MEASURED, check_torch, check_training, recover
from .finetune.training import Recovery
from .goals import guarantee_search, timings
from .goals.budgets import price_of, wants_speed
from .goals.guarantee import MeasuredGuarantee
from .meet_goal import meet_goal
from .options import FileOptions, Options
from .outputs import SURVEYED, OutputDistribution, Survey, counted, output_kinds, survey
from .outputs.caches import but_caches, uncounted
from .outputs.selection import selected
from .parallel import one_blas_thread
from .passes import OutputKind
from .passes.identity_blocks import WritePairs
from .preparation.find_targets import find_targets, hidden_params
from .preparation.subnormals import without_subnormals
from .progress import Progress
from .quantization.quantizers import mode_of
from .quantization.stage import quantized
from .quantization.storage import Quantized, location_of
from .report.summary import Made, summarize
from .result import Result
from .runtime.footprint import footprint_of
from .runtime.free_memory import memory_of
from .runtime.interleaved import latencies
from .runtime.paging import spill_large
from .runtime.randomness import randomness_of
from .runtime.runtimes import runtime_of
from .runtime.session import Session
from .statistics.calibration_run import CalibrationRun
from .statistics.sampling import Sampling

__all__ = ["calibrated", "compressed", "run"]


def run(
    source: model_io.Model, calibration: Calibration, options: Options, progress: Progress
) -> Result:
    """The pipeline behind `factorize`: read it to see how the parts fit."""
    progress.limit(options.max_time)
    return compressed(calibrated(source, calibration, options, progress), options, progress)


def calibrated(
    source: model_io.Model, calibration: Calibration, options: Options, progress: Progress
) -> Calibrated:
    """The first half of the pipeline: what does not depend on the budget."""
    check_options(options)
    runtime = runtime_of(options.runtime)
    if options.finetune:
        check_torch(options.training.device)
    with progress.stage("read"):
        dense = model_io.load(source)
        spill_large(dense)
        check_blocks(dense, options)
        data = _opened(calibration, dense, options)
        kinds = output_kinds(dense, options.outputs)
        sample = data.typical("holdout")
        data = data.measured(footprint_of(dense, sample.feeds, runtime))
        costs = measure_costs(dense, sample, runtime, source)
        price_of(options.budget, costs).check()

    measured = data.fewer(MEASURED) if options.finetune else data
    surveyed = _survey(dense, kinds, measured, options, progress)
    outputs, chosen = surveyed.outputs, selected(dense, kinds)
    with progress.stage("look for states"):
        state, hint = find_state(dense, data, options.state, runtime)
    _check_goals(dense, outputs, data, options, progress)

    with progress.stage("find subnormal weights"):
        start, subnormals = without_subnormals(dense, data, options)
    with progress.stage("find targets"):
        normal, targets, skipped, excluded = find_targets(start, outputs, chosen, options)
        targets = [restricted(target, options.form) for target in targets]
        targets = as_identity_blocks(normal, targets, options)
        if options.promise is None:  # what a guarantee searches is the targets alone
            costs = dataclasses.replace(costs, hidden=hidden_params(skipped, options))

    location = location_of(source) if model_io.is_external(dense) else None
    costs = _as_stored(costs, dense, data, location, options, progress)
    if wants_speed(options):
        alone = latencies([runtime.session(dense)], sample.feeds, samples=sample.samples)
        costs, size = dataclasses.replace(costs, latency_ms=alone.least[0]), sample.samples
        time_operators = functools.partial(
            timings.timed_costs, costs, size, normal, options=options, progress=progress
        )
        targets, costs = timings.timed_targets(time_operators, targets, options)

    effort, macs = options.search_effort, costs.arithmetic.total
    sampling = Sampling.of(options, measured.calibration_samples, macs)
    observed = CalibrationRun(
        normal, targets, measured, surveyed, runtime, sampling, progress, effort
    )
    weighting = get_weighting(options.weighting)
    uniform = options.ranks == "uniform"
    analysis = analyze(observed, weighting, macs, uniform=uniform, narrow=options.narrow)
    costs = timings.timed_channels(
        costs, analysis.channels.narrowings, normal, targets, sample, options, progress
    )
    return Calibrated(
        dense,
        start,
        normal,
        targets,
        [*skipped, *excluded],
        data,
        outputs,
        costs,
        analysis,
        subnormals,
        chosen,
        uncounted(dense, kinds),
        state,
        () if hint is None else (hint,),
    )


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

    again = min(data.holdout_samples, data.calibration_samples)
    with progress.stage("verify", data.holdout_samples + again) as advance:
        holdout = compare_outputs(
            *pair, known.outputs, data, "holdout", advance=advance, finite=False
        )
        if not np.isfinite(holdout.divergence) and guard and guard.include_holdout():
            return compressed(known, options, progress)
        seen = compare_outputs(
            *pair, known.outputs, data, "calibration", again, advance, finite=False
        )

    stream = None
    if known.state is not None:
        with progress.stage("verify along the stream", min(MOST_STEPS, data.available)) as advance:
            stream = along_stream(*pair, known.outputs, data, known.state, advance=advance)

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
    )
    return Result(model, summarize(made, progress.seconds), model_io.is_external(known.dense))


def _opened(calibration: Calibration, dense: ir.Model, options: Options) -> CalibrationData:
    """The calibration data, read as the model wants them."""
    return open_calibration(
        calibration,
        Signature.of(dense),
        options.selection,
        FileOptions(options.images, options.texts),
        run=runtime_of(options.runtime).session(dense, but_caches(dense)).run,
        batch_axis=options.batch_axis,
        mask=options.mask,
        memory=memory_of(options.memory),
    )


def _check_goals(
    dense: ir.Model,
    outputs: dict[str, OutputDistribution],
    data: CalibrationData,
    options: Options,
    progress: Progress,
) -> None:
    """Finds out now what training or a guarantee cannot do with this model and these data."""
    if options.finetune:
        with progress.stage("check that torch agrees"):
            check_training(dense, outputs, data, options)
    if options.promise is not None:
        session = runtime_of(options.runtime).session(dense, list(outputs))
        held_out = guarantee_search.HeldOut(session, outputs, data, progress)
        guarantee_search.check(MeasuredGuarantee.of(options.promise), held_out)


def _as_stored(
    costs: Costs,
    dense: ir.Model,
    data: CalibrationData,
    location: str | None,
    options: Options,
    progress: Progress,
) -> Costs:
    """The costs of a model whose results are written as the options ask.

    Args:
        costs: Those of the dense model.
        dense: The dense model.
        data: What settles the ranges of activations.
        location: The file of its external weights; None where it has none.
        options: To how many bits results are quantized.
        progress: What is told how far the run is.
    """
    if location is not None:
        costs = dataclasses.replace(costs, storage=External.of(dense, location))
    if options.quantize:
        with progress.stage("quantize the dense model"):
            mode = mode_of(options.quantize, dense, costs.arithmetic.nodes)
            storage = Quantized.of(mode, dense, data, location)
            costs = dataclasses.replace(costs, storage=storage)
    return costs


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


def _survey(
    dense: ir.Model,
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    options: Options,
    progress: Progress,
) -> Survey:
    """Surveys the outputs of the dense model."""
    with progress.stage("survey", min(SURVEYED, data.calibration_samples)) as advance:
        session = runtime_of(options.runtime).session(dense, list(counted(kinds)))
        seed, effort = options.selection.seed, options.search_effort
        folds = effort.dealt(data.calibration_samples)
        found = survey(session, kinds, data, seed, advance, labels=options.labels, folds=folds)
        # Of two folds one judges, and the rest is one.
        alike = np.minimum(found.folds, 1) if effort.judging == 1 else found.folds
        return dataclasses.replace(found, folds=alike)
