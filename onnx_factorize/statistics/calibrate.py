"""Runs the calibration data and gathers statistics, in memory that does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import CalibrationData
from ..passes import Target
from .micro_batches import fitting_batches
from .model_statistics import Statistics
from .moments import Moments
from .observer import Observer

__all__ = ["gather_statistics", "leave_out"]

# Rows wanted for each dimension of a moment: with ten, a moment is as good as with all.
_ROWS_A_DIMENSION = 20

# Places of an image to look at, at least.
_PLACES = 16


def gather_statistics(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    folds: npt.NDArray[np.int64] | None = None,
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Statistics]:
    """Gathers the moments of each target, apart for each fold of the data.

    Args:
        observer: The model, observed at the targets.
        targets: The targets.
        data: The calibration data.
        folds: The fold of each sample, shape (samples,); None for one fold.
        draws: Labels to draw for each sample, where there are gradients.
        advance: Called after each batch with its number of samples.

    Returns:
        The statistics of each fold; a target in a branch that never ran has a signal of no rows.
        What is not finite is left out: see `leave_out`.
    """
    folds = np.zeros(data.calibration_samples, np.int64) if folds is None else folds
    uses = [use for target in targets for use in target.uses]
    wanted = {use.name: _ROWS_A_DIMENSION * use.width / data.calibration_samples for use in uses}
    places = {name: max(_PLACES, math.ceil(rows)) for name, rows in wanted.items()}
    found = []
    for fold in range(folds.max() + 1):
        statistics = Statistics.empty(targets, observer)
        for batch in fitting_batches(data, folds == fold, observer):
            for draw in range(draws if observer.gradients else 1):
                seen = observer.run(batch, draw)
                statistics.add(seen, uses, places, signals=not draw)
            advance(batch.samples)
        found.append(statistics)
    leave_out(observer, found)
    return found


def leave_out(observer: Observer, folds: Sequence[Statistics]) -> None:
    """Leaves out what was found not to be finite in the dense model itself, in every fold.

    A signal that is not finite is one of no rows, for all targets that read it; gradients that are
    not finite are as if there were none.
    """
    for fold in folds:
        spoilt = {id(fold[n].signal): where for n, where in observer.not_finite.items()}
        for name, found in fold.items():
            if id(found.signal) in spoilt:
                observer.not_finite.setdefault(name, spoilt[id(found.signal)])
                found.signal = Moments.empty(*found.signal.mean.shape)
            if name not in observer.gradients:
                found.gradient = None
