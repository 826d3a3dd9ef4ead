"""Runs the calibration data and gathers statistics, in memory that does not grow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..calibration import Batch, CalibrationData
from ..passes import Target
from ..runtime.footprint import fed_bytes
from ..runtime.paging import keep
from ..units import size
from .calibration_run import CalibrationRun, Gathered
from .micro_batches import micro_batches
from .model_statistics import Statistics
from .observation import Observation
from .observed_ranks import note_ranks
from .observer import Observer
from .row_buffer import RowBuffers

__all__ = ["Showing", "gather_moments", "gather_statistics"]

# The fold of a batch, the draw of its labels, what observed it, and what that showed.
Shown = tuple[int, int, Observer, Observation]

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
        observer, companion = run.observer(gradients=gradients, blockwise=True), run.companion
        share = run.effort.differentiated(samples) / samples if gradients else 1.0
        if run.block is not None:
            run.progress.say(_how(run, observer, 1 if folds is None else int(folds.max()) + 1))
        blockwise = observer.segmented is not None
        signals = run.observer(gradients=False, blockwise=blockwise) if share < 1 else None
        first, draws = run.effort.apart(folds), run.sampling.draws
        showing = Showing(observer, signals, share, draws, first, run.only)

        def watch(fold: int, seen: Observation) -> None:
            if companion is not None:
                companion.gather(fold, seen)

        parts = gather_statistics(showing, run.targets, run.data, folds, advance, watch)
        inputs = () if companion is None else companion.moments
        return Gathered(parts, observer, observer.unreachable, observer.not_finite, inputs)


def _how(run: CalibrationRun, observer: Observer, folds: int) -> str:
    """How the data will be run, and what that takes, in a line."""
    observer.taken(run.data, segmented=True)
    blocks = observer.segmented
    if blocks is None:
        return f"the whole graph is calibrated at once, because {observer.whole}"
    fed = fed_bytes(run.data.typical("calibration").feeds) * run.gathered_samples
    values = blocks.spool * fed * run.sampling.draws
    widths = [(use.groups, use.width) for target in run.targets for use in target.uses]
    moments = folds * sum(2 * 8 * groups * width**2 for groups, width in widths)
    return (
        f"{blocks.segments} blocks of at most {size(blocks.largest)} of weights are calibrated one "
        f"by one; temporary files: about {size(values)} of values, at most {size(moments)} of "
        "moments"
    )


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
        for batch in micro_batches(data, only, self.observer, segmented=True):
            seen += batch.samples
            if self.signals is None or differentiated < self.share * seen:
                differentiated += batch.samples
                yield self.observer, batch
            else:
                yield self.signals, batch

    def whole(
        self,
        data: CalibrationData,
        folds: npt.NDArray[np.int64],
        advance: Callable[[int], None],
        flush: Callable[[], None],
    ) -> Iterator[Shown]:
        """Yields what batch after batch shows.

        Args:
            data: The calibration data.
            folds: The fold of each sample.
            advance: Called with numbers of samples as they are done.
            flush: Called when a sum is complete, or about to wait for long.
        """
        for fold in range(folds.max() + 1):
            for observer, batch in self.batches(data, fold, folds):
                for _, draw, seen in observer.observe([batch], self.draws, advance):
                    yield fold, draw, observer, seen
                    del seen
            flush()

    def by_segment(
        self,
        data: CalibrationData,
        folds: npt.NDArray[np.int64],
        advance: Callable[[int], None],
        flush: Callable[[], None],
    ) -> Iterator[Shown]:
        """Yields what segment after segment shows of all batches (see `whole`)."""
        planned = [
            (observer, fold, dataclasses.replace(batch, feeds=_kept(batch.feeds)))
            for fold in range(folds.max() + 1)
            for observer, batch in self.batches(data, fold, folds)
        ]
        for observer in dict.fromkeys(observer for observer, *_ in planned):
            own = [(fold, batch) for by, fold, batch in planned if by is observer]
            batches = [batch for _, batch in own]
            for index, draw, seen in observer.observe(batches, self.draws, advance, flush):
                yield own[index][0], draw, observer, seen
                del seen


def _kept(feeds: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {name: keep(array) for name, array in feeds.items()}


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
    count = int(folds.max()) + 1
    found = [Statistics.empty(targets, showing.observer) for _ in range(count)]
    waiting = [RowBuffers() for _ in range(count)]

    def flush() -> None:
        for each in waiting:
            each.flush()

    order = showing.whole if showing.observer.segmented is None else showing.by_segment
    for fold, draw, observer, seen in order(data, folds, advance, flush):
        found[fold].add(seen, uses, places, waiting[fold], signals=not draw)
        if not draw:
            watch(fold, observer.at_inputs(seen))
        del seen  # what one batch showed is gone before the next one runs
    if showing.signals is not None:
        showing.observer.not_finite.update(showing.signals.not_finite)
    for statistics in found:
        statistics.leave_out(showing.observer)
    return found
