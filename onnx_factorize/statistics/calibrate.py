"""Runs the calibration data and gathers statistics, in memory that does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import CalibrationData
from ..passes import Target
from .calibration_run import CalibrationRun, Gathered
from .micro_batches import micro_batches
from .model_statistics import Statistics
from .observation import Observation
from .observed_ranks import note_ranks
from .observer import Observer

__all__ = ["gather_moments", "gather_statistics"]

# Rows wanted for each dimension of a moment: with ten, a moment is as good as with all.
_ROWS_A_DIMENSION = 20

# Places of an image to look at, at least.
_PLACES = 16


def gather_moments(run: CalibrationRun, *, gradients: bool) -> Gathered:
    """Gathers the moments of what targets compute, in the stage `calibrate`.

    Args:
        run: The model and the data.
        gradients: Whether moments of gradients are wanted too; then each fold is apart, so that
            directions can be cross-validated.
    """
    folds = None
    if gradients:
        note_ranks(run.normal, run.data, run.runtime)
        folds = run.surveyed.folds
    with run.progress.stage("calibrate", run.data.calibration_samples) as advance:
        observer = run.observer(gradients=gradients)
        companion = run.companion

        def watch(fold: int, seen: Observation) -> None:
            if companion is not None:
                companion.gather(fold, observer.at_inputs(seen))

        parts = gather_statistics(
            observer, run.targets, run.data, folds, run.sampling.draws, advance, watch
        )
        return Gathered(parts, observer, observer.unreachable, observer.not_finite)


def gather_statistics(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    folds: npt.NDArray[np.int64] | None = None,
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    watch: Callable[[int, Observation], None] = lambda *_: None,
) -> list[Statistics]:
    """Gathers the moments of each target, apart for each fold of the data.

    Args:
        observer: The model, observed at the targets.
        targets: The targets.
        data: The calibration data.
        folds: The fold of each sample, shape (samples,); None for one fold.
        draws: Labels to draw for each sample, where there are gradients.
        advance: Called after each batch with its number of samples.
        watch: Called with its fold and with what it showed, in the first draw.

    Returns:
        The statistics of each fold; a target in a branch that never ran has a signal of no rows.
        What is not finite is left out.
    """
    folds = np.zeros(data.calibration_samples, np.int64) if folds is None else folds
    uses = [use for target in targets for use in target.uses]
    wanted = {use.name: _ROWS_A_DIMENSION * use.width / data.calibration_samples for use in uses}
    places = {name: max(_PLACES, math.ceil(rows)) for name, rows in wanted.items()}
    found = []
    for fold in range(folds.max() + 1):
        statistics = Statistics.empty(targets, observer)
        for batch in micro_batches(data, folds == fold, observer):
            for draw in range(draws if observer.gradients else 1):
                seen = observer.run(batch, draw)
                statistics.add(seen, uses, places, signals=not draw)
                if not draw:
                    watch(fold, seen)
                del seen  # what one batch showed is gone before the next one runs
            advance(batch.samples)
        found.append(statistics)
    for statistics in found:
        statistics.leave_out(observer)
    return found
