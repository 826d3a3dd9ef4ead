"""From calibration data to what each target loses at each rank: statistics, spectra, losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..errors import InputError
from ..factorization.forms import unfoldings_of
from ..factorization.spectrum import Spectrum
from ..factorization.weighting import PredictedLosses, Spectra, Weighting
from ..factorization.weightings import get_weighting
from ..options import Narrow
from ..parallel import one_blas_thread
from ..passes import Target
from ..statistics.calibration_run import CalibrationRun
from ..statistics.cross_validated import CrossValidated
from ..statistics.model_statistics import TargetStatistics
from .candidate import Candidate
from .channels import Channels, find_channels, with_channels
from .gathering import HERE, Gathering
from .guard import Guard
from .measured_losses import MeasuredLosses
from .plan_evaluator import PlanEvaluator
from .work import Work, as_far_as_it_goes, work_of

__all__ = ["Analysis", "analyze", "idle_operators", "to_observe"]


@dataclasses.dataclass(frozen=True)
class Analysis:
    """All that is known of the targets before ranks are allocated.

    Attributes:
        spectra: The spectra that the statistics of all data give, made when they are needed.
        candidates: Ways to choose factors and ranks, the predicted one first. A target without
            losses stays dense.
        evaluator: What measures candidates; None where the prediction is taken as it is.
        never_ran: Targets that the calibration data never reached.
        unreachable: Target name to the reason why it has no gradient, though one was wanted.
        not_finite: Target name to where its activations are not finite, so that it stays dense.
        guard: What finds cuts after which outputs are not finite; None where no data were run.
        broken: Operator to what its cut was found to make not finite: it stays dense.
        work: What its parts take; None where nothing is measured.
        channels: The channels that may be narrowed.
        cross_validated: What the cross-validation of losses found; None where there was none.
    """

    spectra: Spectra
    candidates: list[Candidate]
    evaluator: PlanEvaluator | None = None
    never_ran: frozenset[str] = frozenset()
    unreachable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_finite: Mapping[str, str] = dataclasses.field(default_factory=dict)
    guard: Guard | None = None
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    work: Work | None = None
    channels: Channels = dataclasses.field(default_factory=Channels)
    cross_validated: CrossValidated | None = None

    @property
    def statistics(self) -> Mapping[str, TargetStatistics]:
        """Target name to what calibration found; empty where the weighting needs nothing."""
        return self.spectra.statistics

    @property
    def weighting(self) -> Weighting:
        """The weighting that was asked for."""
        return self.candidates[0].weighting

    @property
    def sound(self) -> Analysis:
        """The same without the losses of operators that are broken when they are cut."""
        if not self.broken:
            return self
        candidates = [candidate.without(self.broken) for candidate in self.candidates]
        return dataclasses.replace(self, candidates=candidates)

    def spectrum(self, target: Target, candidate: Candidate) -> Spectrum:
        """The spectrum of a target by the weighting and the shrinkage of a candidate."""
        shrinkage = candidate.shrinkages.get(target.name)
        return self.spectra.of(target, candidate.weighting, shrinkage)


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


def to_observe(
    run: CalibrationRun,
    weighting: Weighting,
    macs: float,
    narrow: Narrow,
    observed: Collection[str] | None = None,
) -> tuple[CalibrationRun, Channels]:
    """A run of all that a weighting needs to know, and the channels among that.

    Args:
        run: The model and the data; the targets are operators.
        weighting: The weighting.
        macs: Multiplications of the dense model for one sample.
        narrow: Whether channels may be narrowed.
        observed: Names of channels that are observed, where that was settled before.
    """
    unfoldings = [unfolding for target in run.targets for unfolding in unfoldings_of(target)]
    run = run.of([unfolding for unfolding in unfoldings if weighting.covers(unfolding)])
    if narrow == "off" or weighting.unit != "nats":
        return run, Channels()
    channels = find_channels(run, macs, observed)
    return dataclasses.replace(run, companion=channels.observed), channels


@one_blas_thread
def analyze(
    run: CalibrationRun,
    weighting: Weighting,
    macs: float = np.inf,
    *,
    uniform: bool = False,
    narrow: Narrow = "off",
    gathering: Gathering = HERE,
) -> Analysis:
    """Runs the calibration data and works out what every cut of every target costs.

    Args:
        run: The model and the data; the targets are operators.
        weighting: What decides which directions of a weight matter.
        macs: Multiplications of the dense model for one sample; few allow longer measurements.
        uniform: Whether all targets get the same share, whatever they lose; then nothing is tried.
        narrow: Whether channels may be narrowed too, or nothing else.
        gathering: Where the statistics come from.

    Raises:
        InputError: No target has finite activations, or nothing can be narrowed though nothing else
            may be done.
    """
    run, channels = to_observe(run, weighting, macs, narrow, gathering.channels)
    gathered = gathering.of(run, weighting, [each.name for each in channels.narrowings])
    spoilt = gathered.not_finite
    if spoilt and not any(each.ran for each in gathered.statistics.values()):
        raise InputError(
            f"No operator has activations that are finite, or have finite squares, on "
            f"{next(iter(spoilt.values()))}: check how the data are scaled."
        )
    spectra = Spectra(gathered.statistics)
    channels = channels.ready(run, gathered)
    effort = as_far_as_it_goes(run, gathered, macs)
    run = dataclasses.replace(run, effort=effort, companion=channels.observed)
    if weighting.unit == "nats":
        took = sum(run.progress.seconds.get(stage, 0.0) for stage in ("survey", "calibrate"))
        run.progress.forecast.expect(work_of(run, gathered, macs, 0, 0).losses_foreseen(took))

    def predicted(by: Weighting, name: str, found: PredictedLosses) -> Candidate:
        operators = {target.name: target.operator for target in run.targets}
        return Candidate(name, by, found.shrinkages, found.losses, operators=operators)

    called = "predicted" if weighting.unit == "nats" else weighting.name
    found = weighting.losses(run, gathered, spectra)
    first = predicted(weighting, called, found)
    first = dataclasses.replace(first, uniform=uniform)
    if gathered.observer is not None:
        gathered.observer.release()  # a runtime keeps at hand what its largest run took
    analysis = Analysis(
        spectra,
        [first],
        never_ran=frozenset(name for name, each in gathered.statistics.items() if not each.ran),
        unreachable=gathered.unreachable,
        not_finite=gathered.not_finite,
        guard=Guard(run.normal, list(run.surveyed.outputs), run.data, run.runtime),
        cross_validated=found.cross_validated,
    )
    first = _with_measured(first, run, analysis)
    if narrow == "only" and len(gathered.parts) < 2:
        raise InputError(
            "--narrow only needs more samples: some of them judge what the others gave."
        )
    if uniform or len(gathered.parts) < 2:
        return dataclasses.replace(analysis, candidates=[first])
    beside = map(get_weighting, weighting.beside)
    others = [predicted(by, by.name, by.losses(run, gathered, spectra)) for by in beside]
    channels = channels.judged(run, gathered)
    if narrow == "only" and not channels.narrowings:
        raise InputError(_no_channels(channels))
    evaluator = PlanEvaluator(run, gathered.parts, macs, channels, spectra)
    if run.effort.bounded and run.effort.metrics:
        others += _by_closed_form(first, weighting.closed_form(run, gathered, spectra))
    uniformly = dataclasses.replace(first, name="uniform", uniform=True)
    candidates = with_channels([first, uniformly, *others], channels, only=narrow == "only")
    work = work_of(run, gathered, macs, evaluator.samples, evaluator.measured_folds)
    return dataclasses.replace(
        analysis,
        candidates=candidates,
        evaluator=evaluator,
        channels=channels,
        work=dataclasses.replace(work, channels=channels.work),
    )


def _no_channels(channels: Channels) -> str:
    """A sentence on a model of which nothing can be narrowed."""
    said = "No channels of the model can be narrowed"
    if channels.refused:
        first = channels.refused[0]
        said += f": those of '{first.name}', for example, because {first.reason}"
    return f"{said}; leave --narrow only out."


def _by_closed_form(first: Candidate, closed: PredictedLosses | None) -> list[Candidate]:
    """The first candidate with other losses, where there are any."""
    if closed is None:
        return []
    losses = {**first.losses, **closed.losses}
    made = dataclasses.replace(first, shrinkages=closed.shrinkages, losses=losses)
    return [dataclasses.replace(made, name="closed form")]


def _with_measured(candidate: Candidate, run: CalibrationRun, analysis: Analysis) -> Candidate:
    """The candidate with losses for what ran and has none, as far as its cuts can be measured."""
    known = {*candidate.losses, *analysis.never_ran}
    targets = [target for target in run.targets if target.name not in known]
    if not targets:
        return candidate
    losses = dict(candidate.losses)
    with run.progress.stage("measure cuts without gradient", len(targets)) as advance:
        measuring = MeasuredLosses(run, analysis.statistics)
        for target in targets:
            late = bool(measuring.scales) and run.progress.late
            spectrum = analysis.spectrum(target, candidate)
            found = measuring.like_others(spectrum) if late else measuring.of(target, spectrum)
            if found is None:
                analysis.broken[target.operator] = "outputs not finite"
            else:
                losses[target.name] = found
            advance(1)
    return dataclasses.replace(candidate, losses=losses)
