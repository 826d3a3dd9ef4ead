"""Runs the calibration data and gathers statistics, in memory that does not grow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import Batch, CalibrationData
from ..passes import Target
from .calibration_run import CalibrationRun, Gathered
from .micro_batches import micro_batches
from .model_statistics import Statistics
from .observation import Observation
from .observed_ranks import note_ranks
from .observer import Observer
from .row_buffer import RowBuffers

__all__ = ["Showing", "gather_moments", "gather_statistics"]

# Rows wanted for each dimension of a moment: with ten, a moment is as good as with all.
_ROWS_A_DIMENSION = 20

# Places of an image to look at, at least.
_PLACES = 16


def gather_moments(run: CalibrationRun, *, gradients: bool) -> Gathered:
    """Gathers the moments of what targets compute, in the stage `calibrate`.

    Args:
        run: The model and the data.
        gradients: Whether moments of gradients are wanted too; then each fold is apart, so that
            directions can be cross-validated. One that only judges is not observed.
    """
    folds = None
    if gradients:
        note_ranks(run.normal, run.data, run.runtime)
        folds = run.surveyed.folds
    samples = run.data.calibration_samples
    with run.progress.stage("calibrate", run.gathered_samples) as advance:
        observer, companion = run.observer(gradients=gradients), run.companion
        share = run.effort.differentiated(samples) / samples if gradients else 1.0
        signals = run.observer(gradients=False) if share < 1 else None
        first, draws = run.effort.apart(folds), run.sampling.draws
        showing = Showing(observer, signals, share, draws, first, run.only)

        def watch(fold: int, seen: Observation) -> None:
            if companion is not None:
                companion.gather(fold, seen)

        parts = gather_statistics(showing, run.targets, run.data, folds, advance, watch)
        inputs = () if companion is None else companion.moments
        return Gathered(parts, observer, observer.unreachable, observer.not_finite, inputs)


@dataclasses.dataclass(frozen=True)
class Showing:
    """The observers of the samples.

    Attributes:
        observer: What observes samples with the gradients there, if those are wanted.
        signals: What observes samples without them; None if all are observed alike.
        share: Of the samples that have gradients taken, at least, spread evenly over batches.
        draws: Labels to draw for each of these.
        first: The first fold that is observed.
        within: The samples that are, shape (samples,); None for all.
    """

    observer: Observer
    signals: Observer | None = None
    share: float = 1.0
    draws: int = 1
    first: int = 0
    within: npt.NDArray[np.bool_] | None = None

    def batches(
        self, data: CalibrationData, fold: int, folds: npt.NDArray[np.int64]
    ) -> Iterator[tuple[Observer, Batch]]:
        """Yields batches of a fold, each with what is to observe it."""
        seen = differentiated = 0
        only = (folds == fold) & (folds >= self.first)
        if self.within is not None:
            only &= self.within
        for batch in micro_batches(data, only, self.observer):
            seen += batch.samples
            if self.signals is None or differentiated < self.share * seen:
                differentiated += batch.samples
                yield self.observer, batch
            else:
                yield self.signals, batch


def gather_statistics(
    showing: Showing,
    targets: Sequence[Target],
    data: CalibrationData,
    folds: npt.NDArray[np.int64] | None = None,
    advance: Callable[[int], None] = lambda _: None,
    watch: Callable[[int, Observation], None] = lambda *_: None,
) -> list[Statistics]:
    """Gathers the moments of each target, apart for each fold of the data.

    Args:
        showing: The model, observed at the targets.
        targets: The targets.
        data: The calibration data.
        folds: The fold of each sample, shape (samples,); None for one fold.
        advance: Called after each batch with its number of samples.
        watch: Called with its fold and with what it showed at inputs, in the first draw.

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
        statistics, waiting = Statistics.empty(targets, showing.observer), RowBuffers()
        for observer, batch in showing.batches(data, fold, folds):
            for draw in range(showing.draws if observer.gradients else 1):
                seen = observer.run(batch, draw)
                statistics.add(seen, uses, places, waiting, signals=not draw)
                if not draw:
                    watch(fold, observer.at_inputs(seen))
                del seen  # what one batch showed is gone before the next one runs
            advance(batch.samples)
        waiting.flush()
        found.append(statistics)
    if showing.signals is not None:
        showing.observer.not_finite.update(showing.signals.not_finite)
    for statistics in found:
        statistics.leave_out(showing.observer)
    return found
