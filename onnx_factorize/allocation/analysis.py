"""From calibration data to what each target loses at each rank: moments, spectra, losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..calibration import CalibrationData
from ..evaluation import compare_outputs
from ..factorization.losses import kronecker_losses, relative_losses
from ..factorization.rewriting import rewritten
from ..factorization.shrinkage_choice import JUDGES, choose_metrics, groups_of
from ..factorization.spectrum import Spectrum
from ..factorization.weighting import METRICS, Metric, Weighting, get_weighting, metrics_for
from ..options import Options
from ..outputs import OutputDistribution, Survey
from ..parallel import in_parallel, one_blas_thread
from ..passes import Target
from ..progress import Progress
from ..runtime.runtimes import runtime_of
from ..statistics.calibrate import gather_statistics, leave_out
from ..statistics.model_statistics import TargetStatistics
from ..statistics.moments import Moments, RowImportance
from ..statistics.observed_ranks import note_ranks
from ..statistics.observer import Observer
from ..statistics.row_importance import gather_row_importance
from .forms import views_of
from .guard import Guard
from .plan_evaluator import Trial
from .search import Candidate

__all__ = ["Analysis", "analyze", "idle_operators"]

Array = npt.NDArray[np.float64]

# Samples that settle the scale of a target that no gradient reaches.
_TRIAL = 32


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What is known of the targets before ranks are bought.

    Attributes:
        statistics: Target name to moments; empty where the weighting needs none.
        candidates: Ways to choose factors and ranks, the predicted one first. A target without
            losses stays dense.
        trial: What measures candidates; None where the prediction is taken as it is.
        never_ran: Targets that the calibration data never reached.
        unreachable: Target name to the reason why it has no gradient, though one was wanted.
        instead: How such targets are weighted.
        not_finite: Target name to where its activations are not finite, so that it stays dense.
        known: Spectra made so far: see `spectrum`.
        guard: What finds cuts after which outputs are not finite; None where no data were run.
        broken: Operator to what its cut was found to make not finite: it stays dense.
    """

    statistics: Mapping[str, TargetStatistics]
    candidates: list[Candidate]
    trial: Trial | None = None
    never_ran: frozenset[str] = frozenset()
    unreachable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    instead: str = "by activation with a measured scale"
    not_finite: Mapping[str, str] = dataclasses.field(default_factory=dict)
    known: dict[tuple[str, str, Metric | None], Spectrum] = dataclasses.field(default_factory=dict)
    guard: Guard | None = None
    broken: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def sound(self) -> Analysis:
        """The same without the losses of operators that are broken when they are cut."""
        if not self.broken:
            return self
        candidates = [candidate.without(self.broken) for candidate in self.candidates]
        return dataclasses.replace(self, candidates=candidates)

    def spectrum(self, target: Target, candidate: Candidate) -> Spectrum:
        """The spectrum of a target by the weighting and the metric of a candidate."""
        metric = candidate.metrics.get(target.name)
        key = target.name, candidate.weighting.name, metric
        if key not in self.known:
            found = self.statistics.get(target.name)
            self.known[key] = candidate.weighting.spectrum(target, found, metric)
        return self.known[key]


def idle_operators(targets: Sequence[Target], analysis: Analysis) -> list[str]:
    """The operators that the data never reached, of which those that share a weight are several."""
    return [
        use.operator
        for target in targets
        if target.name in analysis.never_ran
        for use in target.uses
        if use.name in analysis.never_ran.difference(analysis.not_finite)
        and not analysis.statistics[use.name].ran_itself
    ]


def analyze(
    normal: ir.Model,
    targets: Sequence[Target],
    data: CalibrationData,
    surveyed: Survey,
    options: Options,
    progress: Progress,
    macs: float = np.inf,
) -> Analysis:
    """Runs the calibration data and works out what every cut of every target costs.

    Args:
        normal: The normalised model; it is not changed.
        targets: Its targets.
        data: The calibration data.
        surveyed: What the dense model makes of them.
        options: The weighting, and how to calibrate.
        progress: What is told how far the run is.
        macs: Multiplications of the dense model for one sample; few allow longer trials.
    """
    found = _analyze(normal, targets, data, surveyed, options, progress, macs)
    names = list(surveyed.outputs)
    return dataclasses.replace(found, guard=Guard(normal, names, data, runtime_of(options.runtime)))


@one_blas_thread
def _analyze(
    normal: ir.Model,
    targets: Sequence[Target],
    data: CalibrationData,
    surveyed: Survey,
    options: Options,
    progress: Progress,
    macs: float,
) -> Analysis:
    """The same without the guard."""
    weighting, uniform = get_weighting(options.weighting), options.ranks == "uniform"
    targets = [view for target in targets for view in views_of(target)]
    if weighting.rows:
        # What is known of the rows of the operator's own view says nothing of those of others.
        targets = [target for target in targets if not target.view]
        return _by_rows(weighting, normal, targets, data, surveyed, options, progress)
    if not weighting.signal:
        with progress.stage("decompose", len(targets)) as advance:
            return _with_relative_losses(weighting, targets, {}, advance, uniform=uniform)

    seed = options.selection.seed
    outputs, folds = None, None
    if weighting.gradient:
        note_ranks(normal, data, runtime_of(options.runtime))
        outputs, folds = surveyed.outputs, surveyed.folds
    draws = options.draws
    with progress.stage("calibrate", data.calibration_samples) as advance:
        observer = Observer(
            normal,
            targets,
            runtime_of(options.runtime),
            outputs,
            seed,
            shapes=surveyed.shapes,
            labels=options.labels,
        )
        parts = gather_statistics(observer, targets, data, folds, draws, advance)
        statistics = parts[0].merge(*parts[1:])
    if folds is None:
        with progress.stage("decompose", len(targets)) as advance:
            found = _with_relative_losses(weighting, targets, statistics, advance, uniform=uniform)
        return dataclasses.replace(found, not_finite=observer.not_finite)

    rounds = len(groups_of(targets, len(metrics_for(data.calibration_samples))))
    judges = rounds * min(JUDGES, data.calibration_samples)
    with progress.stage("judge cuts", judges) as advance:
        chosen = choose_metrics(observer, targets, data, folds, parts, draws, advance)
    leave_out(observer, parts)
    statistics = parts[0].merge(*parts[1:])
    chosen = {name: choice for name, choice in chosen.items() if name in observer.gradients}
    # Of operators that share a weight, one that the data never reached keeps all of them dense.
    chosen = {name: choice for name, choice in chosen.items() if statistics[name].ran}
    predicted = Candidate(
        "predicted",
        weighting,
        {name: METRICS[choice.metric] for name, choice in chosen.items()},
        {name: choice.losses for name, choice in chosen.items()},
        uniform,
        {target.name: target.operator for target in targets},
    )
    with progress.stage("decompose", len(targets)) as advance:
        by_activation = _with_relative_losses(
            get_weighting("activation"), targets, statistics, advance, uniform=False
        )
    analysis = dataclasses.replace(
        by_activation,
        candidates=[predicted],
        unreachable=observer.unreachable,
        not_finite=observer.not_finite,
    )
    losses = dict(predicted.losses)
    for target in targets:
        if target.name in losses or target.name in analysis.never_ran:
            continue
        spectrum = analysis.spectrum(target, predicted)
        if target.name in observer.unreachable:
            measured = _measured_losses(
                normal, target, spectrum, statistics, surveyed.outputs, data, options
            )
            if np.isfinite(measured).all():
                losses[target.name] = measured
            else:
                analysis.broken[target.operator] = "outputs not finite"
        else:
            losses[target.name] = kronecker_losses(spectrum)
    predicted = dataclasses.replace(predicted, losses=losses)
    if uniform or len(parts) < 2:
        return dataclasses.replace(analysis, candidates=[predicted])
    return dataclasses.replace(
        analysis,
        candidates=[
            predicted,
            dataclasses.replace(predicted, name="uniform", uniform=True),
            *by_activation.candidates,
        ],
        trial=Trial(
            normal, targets, surveyed.outputs, data, folds, parts, runtime_of(options.runtime), macs
        ),
    )


def _with_relative_losses(
    weighting: Weighting,
    targets: Sequence[Target],
    statistics: Mapping[str, TargetStatistics],
    advance: Callable[[int], None],
    *,
    uniform: bool,
) -> Analysis:
    """An analysis by a weighting that has no gradients."""
    never_ran = frozenset(name for name, found in statistics.items() if not found.ran)
    losses: dict[str, Array] = {}
    operators = {target.name: target.operator for target in targets}
    candidate = Candidate(weighting.name, weighting, {}, losses, uniform, operators)
    analysis = Analysis(statistics, [candidate], never_ran=never_ran)
    ran = [target for target in targets if target.name not in never_ran]
    spectra = in_parallel(lambda target: analysis.spectrum(target, candidate), ran)
    for target, spectrum in zip(ran, spectra, strict=True):
        losses[target.name] = relative_losses(spectrum)
        advance(1)
    advance(len(targets) - len(ran))
    return analysis


def _by_rows(
    weighting: Weighting,
    normal: ir.Model,
    targets: Sequence[Target],
    data: CalibrationData,
    surveyed: Survey,
    options: Options,
    progress: Progress,
) -> Analysis:
    """An analysis by how much each row of each weight matters."""
    seed, runtime = options.selection.seed, runtime_of(options.runtime)
    note_ranks(normal, data, runtime)
    with progress.stage("calibrate", data.calibration_samples) as advance:
        observer = Observer(
            normal,
            targets,
            runtime,
            surveyed.outputs,
            seed,
            side="input",
            shapes=surveyed.shapes,
            labels=options.labels,
        )
        found = gather_row_importance(observer, targets, data, options.draws, advance)
    statistics, unreachable = {}, {}
    for target in targets:
        rows = found.get(target.name)
        if rows is None:
            finite = target.name not in observer.not_finite
            alike = RowImportance.alike if finite else RowImportance.empty
            rows = alike(target.groups, target.rows)
            unknown = "its rows do not belong to single samples"
            unreachable[target.name] = observer.unreachable.get(target.name, unknown)
        nothing = Moments.empty(target.groups, target.width)
        statistics[target.name] = TargetStatistics(nothing, rows=rows)
    with progress.stage("decompose", len(targets)) as advance:
        analysis = _with_relative_losses(
            weighting, targets, statistics, advance, uniform=options.ranks == "uniform"
        )
    return dataclasses.replace(
        analysis,
        unreachable=unreachable,
        instead="with all rows alike",
        not_finite=observer.not_finite,
    )


def _measured_losses(
    normal: ir.Model,
    target: Target,
    spectrum: Spectrum,
    statistics: Mapping[str, TargetStatistics],
    outputs: Mapping[str, OutputDistribution],
    data: CalibrationData,
    options: Options,
) -> Array:
    """Losses of a target that no gradient reaches: its relative ones, in the measured unit.

    The target is cut alone to half of the rank at which it is as large as before, and the
    divergence of that cut gives the scale of all.
    """
    rank = max(1, target.params // target.factor_params(2))
    cut = rewritten(normal, [target], {target.name: rank}, {target.name: spectrum}, statistics)
    names = list(outputs)
    runtime = runtime_of(options.runtime)
    pair = runtime.session(normal, names), runtime.session(cut, names)
    measured = compare_outputs(*pair, outputs, data, "calibration", _TRIAL, finite=False).divergence
    relative = relative_losses(spectrum)
    return np.asarray(relative * (measured / max(relative[rank], 1e-12)))
