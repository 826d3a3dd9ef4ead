"""The first part of the pipeline: all that is known of a model before it is calibrated."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from .allocation.analysis import analyze
from .allocation.calibrated import Calibrated
from .allocation.forms import restricted
from .allocation.gathering import HERE, Gathering
from .allocation.identity_blocks import as_identity_blocks, check_blocks
from .allocation.model_costs import Costs, measure_costs
from .allocation.storage import External
from .allocation.work import rough_forecast
from .calibration import Calibration, CalibrationData
from .check_options import check_options
from .evaluation.state import State, find_state
from .factorization.weightings import get_weighting
from .files import model_io
from .finetune.recovery import MEASURED, check_torch, check_training
from .fingerprint import check_same, fingerprint_of
from .goals import guarantee_search, timings
from .goals.budgets import price_of, wants_speed
from .goals.guarantee import MeasuredGuarantee
from .options import Options
from .outputs import SURVEYED, OutputDistribution, Survey, counted, output_kinds, survey
from .outputs.caches import uncounted
from .outputs.selection import Selected, selected
from .passes import OutputKind, Skipped, Target
from .preparation.find_targets import find_targets, hidden_params
from .preparation.open_data import open_data
from .preparation.subnormals import Subnormals, without_subnormals
from .progress import Progress
from .quantization.quantizers import mode_of
from .quantization.storage import Quantized, location_of
from .runtime.footprint import footprint_of
from .runtime.latency_source import LatencySource
from .runtime.paging import spill_large
from .runtime.runtimes import runtime_of
from .statistics.calibration_run import CalibrationRun
from .statistics.part import Fingerprint, Shared
from .statistics.sampling import Sampling

__all__ = ["Prepared", "prepare", "targets_of"]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A model that is ready to be calibrated.

    Attributes:
        source: Where the dense model is from.
        dense: The dense model.
        start: What is factorized: the same, perhaps without its subnormal weights.
        targets: What may be factorized.
        skipped: What may not, and why.
        data: The calibration data.
        costs: What the dense model costs.
        run: What is to be observed, and on which data.
        subnormals: What became of subnormal weights; None where there are none.
        selected: Outputs that are what a selection chose; None where there are none.
        kinds: What the graph, or the user, says of each output.
        state: What is carried from step to step; None where samples are no steps.
        hint: What the user should know of the data.
        latency: Who tells latencies.
    """

    source: model_io.Model
    dense: ir.Model
    start: ir.Model
    targets: list[Target]
    skipped: list[Skipped]
    data: CalibrationData
    costs: Costs
    run: CalibrationRun
    subnormals: Subnormals | None
    selected: Selected | None
    kinds: Mapping[str, OutputKind]
    state: State | None
    hint: str | None
    latency: LatencySource

    @property
    def macs(self) -> float:
        """Multiplications of the dense model for one sample."""
        return self.costs.arithmetic.total

    def fingerprint(self, options: Options) -> Fingerprint:
        """What tells statistics of it from others."""
        return fingerprint_of(self.dense, self.data, options)

    def calibrated(self, options: Options, gathering: Gathering = HERE) -> Calibrated:
        """The model with all that calibration tells of it."""
        weighting, uniform = get_weighting(options.weighting), options.ranks == "uniform"
        analysis = analyze(
            self.run,
            weighting,
            self.macs,
            uniform=uniform,
            narrow=options.narrowing,
            gathering=gathering,
        )
        sample, progress = self.data.typical("holdout"), self.run.progress
        costs = timings.timed_channels(
            self.costs,
            analysis.channels.narrowings,
            self.run.normal,
            self.targets,
            sample,
            options,
            progress,
            self.latency,
        )
        return Calibrated(
            self.dense,
            self.start,
            self.run.normal,
            self.targets,
            self.skipped,
            self.data,
            self.run.surveyed.outputs,
            costs,
            analysis,
            self.subnormals,
            self.selected,
            uncounted(self.dense, self.kinds),
            self.state,
            (*(() if self.hint is None else (self.hint,)), *gathering.notes),
        )


def prepare(
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    shared: Shared | None = None,
    name: str = "",
) -> Prepared:
    """Reads a model and its data, and finds what is to be observed of them.

    Args:
        source: The model.
        calibration: The calibration data.
        options: All options.
        progress: What is told how far the run is.
        shared: What was found of the data before; None to survey them.
        name: Where that is from, for messages.
    """
    check_options(options)
    runtime = runtime_of(options.runtime)
    if options.finetune:
        check_torch(options.training.device)
    with progress.stage("read"):
        dense = model_io.load(source)
        spill_large(dense)
        check_blocks(dense, options)
        latency = timings.latency_source(options, dense)
        data = open_data(calibration, dense, options)
        if shared is not None:
            check_same(shared.fingerprint, fingerprint_of(dense, data, options), name)
        kinds = output_kinds(dense, options.outputs)
        sample = data.typical("holdout")
        data = data.measured(footprint_of(dense, sample.feeds, runtime))
        costs = measure_costs(dense, sample, runtime, source)
        price_of(options.budget, costs).check()

    measured = data
    if shared is None:
        measured = data.fewer(MEASURED) if options.finetune else data
        surveyed = _survey(dense, kinds, measured, options, progress)
    else:
        surveyed = shared.survey
    outputs, chosen = surveyed.outputs, selected(dense, kinds)
    with progress.stage("look for states"):
        state, hint = find_state(dense, data, options.state, runtime)
    _check_goals(dense, outputs, data, options, progress)

    with progress.stage("find subnormal weights"):
        start, subnormals = without_subnormals(dense, data, options)
    with progress.stage("find targets"):
        normal, targets, skipped, excluded = targets_of(start, outputs, chosen, options)
        if options.promise is None:  # what a guarantee searches is the targets alone
            costs = dataclasses.replace(costs, hidden=hidden_params(skipped, options))

    location = location_of(source) if model_io.is_external(dense) else None
    costs = _as_stored(costs, dense, data, location, options, progress)
    if wants_speed(options):
        costs = timings.timed_model(costs, dense, sample, options, latency)
        targets, costs = timings.timed_targets(
            costs, sample.samples, normal, targets, options, progress, latency
        )

    effort, macs = options.search_effort, costs.arithmetic.total
    sampling = Sampling.of(options, measured.calibration_samples, macs)
    if shared is not None:
        sampling = dataclasses.replace(sampling, draws=shared.draws)
    run = CalibrationRun(normal, targets, measured, surveyed, runtime, sampling, progress, effort)
    block = measured.memory.block(model_io.weight_bytes(normal), options.blockwise)
    run = dataclasses.replace(run, block=block)
    if shared is None and get_weighting(options.weighting).unit == "nats":
        progress.foresee(rough_forecast(run, macs, progress.seconds["survey"]))
    skipped = [*skipped, *excluded]
    return Prepared(
        source,
        dense,
        start,
        targets,
        skipped,
        data,
        costs,
        run,
        subnormals,
        chosen,
        kinds,
        state,
        hint,
        latency,
    )


def targets_of(
    start: ir.Model, outputs: Collection[str], chosen: Selected | None, options: Options
) -> tuple[ir.Model, list[Target], list[Skipped], list[Skipped]]:
    """The targets of a model, as they may be cut (see `find_targets`)."""
    normal, targets, skipped, excluded = find_targets(start, outputs, chosen, options)
    targets = [restricted(target, options.form, options.device) for target in targets]
    return normal, as_identity_blocks(normal, targets, options), skipped, excluded


def _check_goals(
    dense: ir.Model,
    outputs: dict[str, OutputDistribution],
    data: CalibrationData,
    options: Options,
    progress: Progress,
) -> None:
    """Finds out now what a runtime, training or a guarantee cannot do with this model and data."""
    runtime = runtime_of(options.runtime)
    if runtime.deployed != runtime:
        runtime.deployed.session(dense, list(outputs)).run(data.typical("holdout").feeds)
    if options.finetune:
        with progress.stage("check that torch agrees"):
            check_training(dense, outputs, data, options)
    if options.promise is not None:
        session = runtime.session(dense, list(outputs))
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
