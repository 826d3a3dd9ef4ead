"""For each target, the metric whose directions lose least on samples that did not make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import CalibrationData
from ..calibration.folds import some_of
from ..parallel import in_parallel
from ..passes import Target
from ..statistics.micro_batches import fitting_batches
from ..statistics.model_statistics import Statistics, TargetStatistics
from ..statistics.observer import Observer
from .kronecker_factors import Observed
from .losses import Directions, Judged, judge
from .spectrum import Spectrum
from .weighting import METRICS, Metric, absorbed_mean, decomposed, metrics_for, observed

__all__ = ["JUDGES", "Choice", "choose_metrics", "groups_of"]

Array = npt.NDArray[np.float64]

# Samples that settle the losses of cuts; the directions are settled by all of them.
JUDGES = 256

# Memory for the directions of targets that are judged together.
_DIRECTIONS_BYTES = 2**29

# Metrics that are still tried after the first two folds.
_SHORTLIST = 3


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen for one target.

    Attributes:
        metric: Index into `METRICS`.
        losses: The loss at every rank, shape (full rank + 1,).
    """

    metric: int
    losses: Array


def choose_metrics(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    folds: npt.NDArray[np.int64],
    parts: Sequence[Statistics],
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Choice]:
    """Judges the metrics by cross-fitting: directions from some folds, losses from the others.

    All metrics are judged on the first two folds, the best few on the others too.

    Args:
        observer: The model, observed at the targets, with gradients.
        targets: The targets; those without gradients are left out.
        data: The calibration data.
        folds: The fold of each sample, shape (samples,).
        parts: The statistics of each fold.
        draws: Labels to draw for each sample.
        advance: Called after each batch with its number of samples.
    """
    metrics = metrics_for(data.calibration_samples)
    chosen: dict[str, Choice] = {}
    for group in groups_of(targets, len(metrics)):
        chosen |= _choose(observer, group, data, folds, parts, metrics, draws, advance)
    return chosen


def groups_of(targets: Sequence[Target], metrics: int) -> list[list[Target]]:
    """Targets that are judged together: as many as have room for their directions in memory."""
    groups: list[list[Target]] = [[]]
    room = _DIRECTIONS_BYTES
    for target in targets:
        size = 2 * 4 * metrics * target.groups * target.width**2
        if size > room and groups[-1]:
            groups.append([])
            room = _DIRECTIONS_BYTES
        groups[-1].append(target)
        room -= size
    return groups


def _choose(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    folds: npt.NDArray[np.int64],
    parts: Sequence[Statistics],
    metrics: Sequence[int],
    draws: int,
    advance: Callable[[int], None],
) -> dict[str, Choice]:
    """Chooses for the targets of one group."""
    results: dict[str, dict[int, Judged]] = {}
    tried: dict[str, Sequence[int]] = {target.name: metrics for target in targets}
    for fold in range(len(parts)):
        if fold == 2:
            tried = {
                target.name: _ranking(target, results[target.name])[:_SHORTLIST]
                for target in targets
                if target.name in results
            }
        others = [part for index, part in enumerate(parts) if index != fold] or parts
        first, *rest = (part.only(target.name for target in targets) for part in others)
        directions = _directions(targets, first.merge(*rest), tried)
        judges = some_of(fold, folds, max(1, JUDGES // len(parts)))
        batches = fitting_batches(data, judges, observer)
        judge(observer, targets, batches, directions, results, draws, advance)
    chosen = {}
    for target in targets:
        if target.name in results:
            found = {m: r for m, r in results[target.name].items() if m in tried[target.name]}
            metric = _ranking(target, found)[0]
            chosen[target.name] = Choice(metric, found[metric].losses)
    return chosen


def _directions(
    targets: Sequence[Target],
    statistics: Mapping[str, TargetStatistics],
    metrics: Mapping[str, Sequence[int]],
) -> dict[str, Directions]:
    """The directions that some statistics give each target that ran."""

    def of(target: Target) -> Directions | None:
        found = statistics[target.name]
        if not found.signal.count or found.gradient is None:
            return None
        mean = absorbed_mean(target, found)
        seen = observed(target, found)
        spectra = {
            metric: _roughly(seen, found.signal.count, METRICS[metric])
            for metric in metrics[target.name]
        }
        return Directions(spectra, mean)

    wanted = [target for target in targets if target.name in metrics]
    found = zip(wanted, in_parallel(of, wanted), strict=True)
    return {target.name: directions for target, directions in found if directions is not None}


def _roughly(seen: Observed, rows: int, metric: Metric) -> Spectrum:
    """A decomposition in half of the time, exact enough to be judged where that can be done."""
    try:
        return decomposed(seen.astype(np.float32), rows, metric)
    except np.linalg.LinAlgError:  # not positive definite, to single precision
        return decomposed(seen, rows, metric)


def _ranking(target: Target, judged: Mapping[int, Judged]) -> list[int]:
    """Metrics by their loss, on geometric average over the ranks that may be bought."""
    last = max(2, -(-target.params // target.factor_params(1)))
    ranks = slice(max(1, last // 3), last)
    return sorted(judged, key=lambda m: float(np.log(judged[m].losses[ranks] + 1e-30).mean()))
