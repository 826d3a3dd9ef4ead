"""From calibration data to what each target loses at each rank: moments, spectra, losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .calibrate import Statistics, gather_statistics, merged
from .calibration import CalibrationData
from .folds import FOLDS
from .losses import kronecker_losses, relative_losses
from .metric_choice import JUDGES, Choice, choose_metrics
from .observer import Observer
from .options import Options
from .output_statistics import survey
from .passes import OutputKind, Target
from .progress import Progress
from .rewriting import rewritten
from .session import Session
from .spectrum import Spectrum
from .verify import compare_outputs
from .weighting import METRICS, Metric, Weighting, get_weighting

__all__ = ["Analysis", "analyze"]

Array = npt.NDArray[np.float64]

# Samples that settle the scale of a target that no gradient reaches.
_TRIAL = 32


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What is known of the targets before ranks are bought.

    Attributes:
        statistics: Target name to moments; empty where the weighting needs none.
        spectra: Target name to spectrum.
        losses: Target name to the loss at every rank; without an entry a target stays dense.
        never_ran: Targets that the calibration data never reached.
        unreachable: Target name to the reason why it has no gradient, though one was wanted.
    """

    statistics: Mapping[str, Statistics]
    spectra: Mapping[str, Spectrum]
    losses: Mapping[str, Array]
    never_ran: frozenset[str] = frozenset()
    unreachable: Mapping[str, str] = dataclasses.field(default_factory=dict)


def analyze(
    normal: ir.Model,
    targets: Sequence[Target],
    data: CalibrationData,
    kinds: Mapping[str, OutputKind],
    options: Options,
    progress: Progress,
) -> Analysis:
    """Runs the calibration data and works out what every cut of every target costs.

    Args:
        normal: The normalised model; it is not changed.
        targets: Its targets.
        data: The calibration data.
        kinds: What each output stands for, class axes known.
        options: The weighting, and how to calibrate.
        progress: What is told how far the run is.
    """
    weighting = get_weighting(options.weighting)
    if not weighting.signal:
        with progress.stage("decompose", len(targets)) as advance:
            spectra = _spectra(weighting, targets, {}, {}, advance)
        return Analysis({}, spectra, {n: relative_losses(s) for n, s in spectra.items()})

    seed = options.selection.seed
    seeds, folds = None, None
    if weighting.gradient:
        with progress.stage("survey", data.calibration_samples) as advance:
            dense = Session(normal, options.runtime)
            found = survey(dense, kinds, data, FOLDS, seed, advance)
            seeds, folds = found.seeds, found.folds
    with progress.stage("calibrate", data.calibration_samples) as advance:
        observer = Observer(normal, targets, options.runtime, seeds, seed)
        parts = gather_statistics(observer, targets, data, folds, options.draws, seed, advance)
        statistics = merged(parts)
    never_ran = frozenset(n for n, found in statistics.items() if not found.signal.count)

    chosen: dict[str, Choice] = {}
    if folds is not None:
        with progress.stage("judge cuts", min(JUDGES, data.calibration_samples)) as advance:
            chosen = choose_metrics(observer, targets, data, folds, parts, advance)
    metrics = {name: METRICS[choice.metric] for name, choice in chosen.items()}
    losses = {name: choice.losses for name, choice in chosen.items()}

    with progress.stage("decompose", len(targets)) as advance:
        spectra = _spectra(weighting, targets, statistics, metrics, advance)
    for target in targets:
        spectrum = spectra.get(target.name)
        if spectrum is None or target.name in losses:
            continue
        if not weighting.gradient:
            losses[target.name] = relative_losses(spectrum)
        elif target.name in observer.unreachable:
            losses[target.name] = _measured_losses(
                normal, target, spectrum, statistics, kinds, data, options
            )
        else:
            losses[target.name] = kronecker_losses(spectrum)
    return Analysis(statistics, spectra, losses, never_ran, observer.unreachable)


def _measured_losses(
    normal: ir.Model,
    target: Target,
    spectrum: Spectrum,
    statistics: Mapping[str, Statistics],
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    options: Options,
) -> Array:
    """Losses of a target that no gradient reaches: its relative ones, in the measured unit.

    The target is cut alone to half of the rank at which it is as large as before, and the
    divergence of that cut gives the scale of all.
    """
    rank = max(1, target.params // target.factor_params(2))
    cut = rewritten(normal, [target], {target.name: rank}, {target.name: spectrum}, statistics)
    pair = Session(normal, options.runtime), Session(cut, options.runtime)
    measured = compare_outputs(*pair, kinds, data, "calibration", _TRIAL).divergence
    relative = relative_losses(spectrum)
    return np.asarray(relative * (measured / max(relative[rank], 1e-12)))


def _spectra(
    weighting: Weighting,
    targets: Sequence[Target],
    statistics: Mapping[str, Statistics],
    metrics: Mapping[str, Metric],
    advance: Callable[[int], None],
) -> dict[str, Spectrum]:
    """The spectrum of each target that ran, in its metric."""
    spectra = {}
    for target in targets:
        found = statistics.get(target.name)
        if found is None or found.signal.count:
            spectra[target.name] = weighting.spectrum(target, found, metrics.get(target.name))
        advance(1)
    return spectra
