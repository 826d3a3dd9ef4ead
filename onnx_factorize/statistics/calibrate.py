"""Run the calibration data through the model and gather moments, in memory that does not grow."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import Batch, CalibrationData
from ..parallel import in_parallel
from ..passes import Target
from ..runtime.paging import keep
from .micro_batches import fitting_batches
from .moments import GradientMoments, Moments, RowImportance
from .observer import Observation, Observer

__all__ = ["Statistics", "gather_statistics", "merged"]

# Rows wanted for each dimension of a moment: with ten, a moment is as good as with all.
_ROWS_A_DIMENSION = 20


@dataclasses.dataclass
class Statistics:
    """What calibration data tell of one target, on its narrow side.

    Attributes:
        signal: Moments of x, or of y = x W. Targets that read the same value share them.
        gradient: Moments of W g, or of g; None if not gathered.
        rows: How much each row of the weight matters; None if not gathered.
        siblings: The same of each sibling of the target.
    """

    signal: Moments
    gradient: GradientMoments | None = None
    rows: RowImportance | None = None
    siblings: tuple[Statistics, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether the data reached the target, and all of its siblings."""
        return self.ran_itself and all(sibling.ran for sibling in self.siblings)

    @property
    def ran_itself(self) -> bool:
        """Whether the data reached the target."""
        return bool(self.signal.count or (self.rows is not None and self.rows.total.any()))


def gather_statistics(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    folds: npt.NDArray[np.int64] | None = None,
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Statistics]]:
    """Gathers the moments of each target, apart for each fold of the data.

    Args:
        observer: The model, observed at the targets.
        targets: The targets.
        data: The calibration data.
        folds: The fold of each sample, shape (samples,); None for one fold.
        draws: Labels to draw for each sample, where there are gradients.
        advance: Called after each batch with its number of samples.

    Returns:
        For each fold, target name to statistics; a target in a branch that never ran has a signal
        of no rows.

    Raises:
        InputError: An activation or a gradient is not finite.
    """
    folds = np.zeros(data.calibration_samples, np.int64) if folds is None else folds
    result = []
    for fold in range(folds.max() + 1):
        gatherer = _Gatherer(observer, targets, data)
        for batch in fitting_batches(data, folds == fold, observer):
            for draw in range(draws if observer.gradients else 1):
                gatherer.run(batch, draw)
            advance(batch.samples)
        result.append(gatherer.statistics)
    return result


def merged(folds: Sequence[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """The statistics of several folds together."""
    shared: dict[int, Moments] = {}
    return {name: _merged([fold[name] for fold in folds], shared) for name in folds[0]}


def _merged(parts: Sequence[Statistics], shared: dict[int, Moments]) -> Statistics:
    """The statistics of one target, whose signal others may have merged already."""
    first = parts[0]
    key = id(first.signal)
    if key not in shared:
        shared[key] = Moments.empty(*first.signal.mean.shape)
        for part in parts:
            shared[key].merge(part.signal)
    gradient = None
    if first.gradient is not None:
        gradient = GradientMoments(
            sum(part.gradient.samples for part in parts if part.gradient is not None),
            keep(np.sum([part.gradient.total for part in parts if part.gradient is not None], 0)),
        )
    rows = None
    if first.rows is not None:
        rows = RowImportance.empty(*first.rows.total.shape)
        for part in parts:
            if part.rows is not None:
                rows.merge(part.rows)
    siblings = zip(*(part.siblings for part in parts), strict=True)
    return Statistics(
        shared[key], gradient, rows, tuple(_merged(each, shared) for each in siblings)
    )


class _Gatherer:
    """The sums of one fold."""

    def __init__(
        self, observer: Observer, targets: Sequence[Target], data: CalibrationData
    ) -> None:
        leaders, targets = targets, [use for target in targets for use in target.uses]
        self._targets = targets
        self._observer = observer
        self._positions = {
            target.name: max(
                16, math.ceil(_ROWS_A_DIMENSION * target.width / data.calibration_samples)
            )
            for target in targets
        }
        shared: dict[object, Moments] = {}
        # Of the targets that cut one value into rows in the same way, the first adds the signal.
        self._leaders = set()
        self.statistics: dict[str, Statistics] = {}
        for target in targets:
            cut: object = target.name
            if target.side == "input":
                tap = observer.taps[target.name]
                cut = (tap, target.convolution, target.groups, target.transposed_input)
            if cut not in shared:
                shared[cut] = Moments.empty(target.groups, target.width)
                self._leaders.add(target.name)
            gradient = None
            if target.name in observer.gradients:
                gradient = GradientMoments.empty(target.groups, target.width)
            self.statistics[target.name] = Statistics(shared[cut], gradient)
        for leader in leaders:
            siblings = tuple(self.statistics[sibling.name] for sibling in leader.siblings)
            self.statistics[leader.name].siblings = siblings

    def run(self, batch: Batch, draw: int) -> None:
        """Runs one batch and adds what it showed; the signal is the same in every draw."""
        seen = self._observer.run(batch, draw)
        targets = self._targets
        deque(in_parallel(lambda each: self._add(seen, each, with_signal=not draw), targets), 0)

    def _add(self, seen: Observation, target: Target, *, with_signal: bool) -> None:
        """Adds what one target showed; no two share what is added to."""
        positions, known = self._positions[target.name], self.statistics[target.name]
        if with_signal and target.name in self._leaders:
            rows = seen.signal(target, positions)
            if rows is not None:
                known.signal.add(rows)
        if known.gradient is not None:
            found = seen.gradient(target, positions)
            if found is not None:
                known.gradient.add(found[0], seen.batch.samples, found[1])
