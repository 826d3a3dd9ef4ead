"""For each target, the shrinkage whose directions lose least on samples that did not make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..arrays import Array
from ..calibration.folds import some_of
from ..parallel import in_parallel
from ..passes import Target
from ..statistics.calibration_run import CalibrationRun, Gathered
from ..statistics.cross_validated import CrossValidated
from ..statistics.micro_batches import micro_batches
from ..statistics.model_statistics import Statistics, TargetStatistics
from ..statistics.observation import Observation
from ..statistics.observer import Observer
from .bias_correction import absorbed_mean
from .kronecker_factors import KroneckerFactors
from .losses import Directions, LossSums, cross_validate, ranks_of_interest
from .moment_shrinkage import SHRINKAGES, MomentShrinkage, shrinkages_for, shrunk_spectrum
from .spectrum import Spectrum
from .target_factors import kronecker_factors

__all__ = ["CROSS_VALIDATED", "choose_shrinkages"]


# Samples that settle the losses of cuts; the directions are settled by all of them.
CROSS_VALIDATED = 256

# Shrinkages that are still tried after the first two folds.
_SHORTLIST = 3


@dataclasses.dataclass(frozen=True)
class _Choice:
    """The choice for one target.

    Attributes:
        shrinkage: Index into `SHRINKAGES`.
        losses: The loss at every rank, shape (full rank + 1,).
    """

    shrinkage: int
    losses: Array


def choose_shrinkages(run: CalibrationRun, gathered: Gathered) -> CrossValidated:
    """Cross-validates the shrinkages: directions from some folds, losses from the others.

    All shrinkages are tried on the first two folds, the best few on the others too. The stage is
    called `cross-validate losses`.

    Args:
        run: The model and the data.
        gathered: The statistics of each fold, with what observed the targets; those without
            gradients are left out.
    """
    observer, companion = gathered.observer, run.companion
    assert observer is not None
    known, names = gathered.cross_validated, [target.name for target in run.targets]
    channels = () if companion is None else companion.names
    if known is not None and known.serves(run.effort.metrics, run.effort.folds, names, channels):
        observer.learn(known.lost, known.unreachable, known.not_finite)
        if companion is not None:
            companion.take({name: known.channels[name] for name in channels})
        return known
    samples = run.data.calibration_samples
    indices = shrinkages_for(samples, run.effort.metrics)
    groups = _groups(run.targets, len(indices), run.data.memory.directions)
    chosen: dict[str, _Choice] = {}
    with run.progress.stage(
        "cross-validate losses", len(groups) * min(CROSS_VALIDATED, samples)
    ) as advance:
        for group in groups:
            chosen |= _choose(run.of(group), gathered, indices, advance)
            run = dataclasses.replace(run, companion=None)  # it has seen the samples
    return CrossValidated(
        run.effort.metrics,
        run.effort.folds,
        names,
        {name: choice.shrinkage for name, choice in chosen.items()},
        {name: choice.losses for name, choice in chosen.items()},
        {} if companion is None else companion.judged,
        [use.name for t in run.targets for use in t.uses if use.name not in observer.gradients],
        dict(observer.unreachable),
        dict(observer.not_finite),
    )


def _groups(targets: Sequence[Target], shrinkages: int, most: float) -> list[list[Target]]:
    """Targets that are cross-validated at once: their directions have room in memory."""
    groups: list[list[Target]] = [[]]
    room = most
    for target in targets:
        size = 2 * 4 * shrinkages * target.groups * target.width**2
        if size > room and groups[-1]:
            groups.append([])
            room = most
        groups[-1].append(target)
        room -= size
    return groups


def _choose(
    run: CalibrationRun,
    gathered: Gathered,
    indices: Sequence[int],
    advance: Callable[[int], None],
) -> dict[str, _Choice]:
    """Chooses for the targets of one group."""
    assert gathered.observer is not None
    observer, parts, targets = gathered.observer, gathered.parts, run.targets
    companion = run.companion
    sums: dict[str, dict[int, LossSums]] = {}
    tried: dict[str, Sequence[int]] = {target.name: indices for target in targets}
    for fold in range(min(run.effort.folds, len(parts))):
        if fold == 2:
            tried = {
                target.name: _ranking(target, sums[target.name])[:_SHORTLIST]
                for target in targets
                if target.name in sums
            }
        others = [part for index, part in enumerate(parts) if index != fold] or parts
        directions = _directions(targets, _merged(others, targets), tried)
        held_out = some_of(fold, run.surveyed.folds, max(1, CROSS_VALIDATED // len(parts)))
        batches = micro_batches(run.data, held_out, observer, segmented=True)
        if companion is not None:
            companion.begin(fold)
        cross_validate(
            observer,
            targets,
            batches,
            directions,
            sums,
            run.sampling.draws,
            advance,
            _watching(run, observer),
            () if companion is None else companion.together,
        )
    chosen = {}
    for target in targets:
        if target.name in sums:
            found = {i: s for i, s in sums[target.name].items() if i in tried[target.name]}
            best = _ranking(target, found)[0]
            chosen[target.name] = _Choice(best, found[best].losses)
    return chosen


def _watching(run: CalibrationRun, observer: Observer) -> Callable[[Observation], None]:
    """Shows a companion what it wants to see."""
    companion = run.companion
    if companion is None:
        return lambda _: None
    return lambda seen: companion.judge(observer.at_inputs(seen))


def _merged(parts: Sequence[Statistics], targets: Sequence[Target]) -> Statistics:
    """The statistics of some targets in some folds together."""
    first, *others = (part.only(target.name for target in targets) for part in parts)
    return first.merge(*others)


def _directions(
    targets: Sequence[Target],
    statistics: Mapping[str, TargetStatistics],
    indices: Mapping[str, Sequence[int]],
) -> dict[str, Directions]:
    """The directions that some statistics give each target that ran."""

    def of(target: Target) -> Directions | None:
        found = statistics[target.name]
        if not found.signal.count or found.gradient is None:
            return None
        mean = absorbed_mean(target, found)
        factors = kronecker_factors(target, found)
        spectra = {
            index: _roughly(factors, found.signal.count, SHRINKAGES[index])
            for index in indices[target.name]
        }
        return Directions(spectra, mean)

    wanted = [target for target in targets if target.name in indices]
    found = zip(wanted, in_parallel(of, wanted), strict=True)
    return {target.name: directions for target, directions in found if directions is not None}


def _roughly(factors: KroneckerFactors, rows: int, shrinkage: MomentShrinkage) -> Spectrum:
    """A decomposition in half of the time, as exact as cross-validation needs where it succeeds."""
    try:
        return shrunk_spectrum(factors.astype(np.float32), rows, shrinkage)
    except np.linalg.LinAlgError:  # not positive definite, to single precision
        return shrunk_spectrum(factors, rows, shrinkage)


def _ranking(target: Target, sums: Mapping[int, LossSums]) -> list[int]:
    """Shrinkages by their loss, on geometric average over the ranks that may be taken."""
    ranks = ranks_of_interest(target)
    return sorted(sums, key=lambda i: float(np.log(sums[i].losses[ranks] + 1e-30).mean()))
