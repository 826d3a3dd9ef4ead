"""Moments of what targets read, whichever side they are observed on otherwise."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

from ..passes import Target
from .calibration_run import CalibrationRun
from .micro_batches import micro_batches
from .moments import Moments

__all__ = ["ROWS_A_DIMENSION", "InputMoments", "gather_input_moments", "merged_moments"]

# Target name to the moments of its input; targets that read one value share them.
InputMoments = Mapping[str, Moments]

# Rows wanted for each dimension of a moment, and places of an image to look at, at least.
ROWS_A_DIMENSION = 8
_PLACES = 16


def gather_input_moments(run: CalibrationRun, readers: Sequence[Target]) -> list[InputMoments]:
    """Gathers the moments of the inputs of some targets, fold by fold.

    The stage is called `observe channels`.

    Args:
        run: The model and the data.
        readers: The targets, in their own unfoldings.
    """
    samples, folds = run.data.calibration_samples, run.surveyed.folds
    observer = run.of(readers).observer(gradients=False, side="input")
    keys: dict[str, Hashable] = {
        each.name: (observer.taps[each.name], each.convolution, each.groups) for each in readers
    }
    first = {key: each for each, key in reversed(list(zip(readers, keys.values(), strict=True)))}
    places = {
        key: max(_PLACES, math.ceil(ROWS_A_DIMENSION * each.rows / samples))
        for key, each in first.items()
    }
    found: list[InputMoments] = []
    with run.progress.stage("observe channels", samples) as advance:
        for fold in range(int(folds.max()) + 1):
            sums = {key: Moments.empty(each.groups, each.rows) for key, each in first.items()}
            for batch in micro_batches(run.data, folds == fold, observer):
                seen = observer.run(batch)
                for key, each in first.items():
                    rows = seen.signal(each, places[key])
                    if rows is not None:
                        sums[key].add(rows)
                advance(batch.samples)
            found.append({name: sums[key] for name, key in keys.items()})
    return found


def merged_moments(parts: Sequence[InputMoments]) -> InputMoments:
    """The moments of all samples together; the parts stay as they are."""
    made: dict[int, Moments] = {}
    for name in parts[0]:
        own = parts[0][name]
        if id(own) not in made:
            made[id(own)] = Moments.empty(*own.total.shape)
            for part in parts:
                made[id(own)].merge(part[name])
    return {name: made[id(own)] for name, own in parts[0].items()}
