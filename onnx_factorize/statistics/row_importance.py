"""The importance of each row of a weight by the diagonal of the Fisher information.

The importance of row k is the sum over its elements of E[(∂L/∂w_kj)²], where ∂L/∂W = Σ_p x_p g_pᵀ
for each sample (Hsu, Hua, Chang, Lou, Shen and Jin, "Language model compression with weighted
low-rank factorization", 2022, equations 4 to 7). They take the labels of the training data: here,
`--labels given`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..calibration import CalibrationData
from ..passes import Target
from .calibration_run import CalibrationRun, Gathered
from .micro_batches import micro_batches
from .model_statistics import Statistics, TargetStatistics
from .moments import Moments, RowImportance
from .observation import Observation
from .observed_ranks import note_ranks
from .observer import Observer

__all__ = ["gather_row_importance", "row_importance"]


# What the report says of targets whose rows are taken for alike without a reason of the graph's.
_UNKNOWN = "its rows do not belong to single samples"


def gather_row_importance(run: CalibrationRun) -> Gathered:
    """Gathers how much each row of each weight matters, in the stage `calibrate`.

    The rows of targets without gradients, and of those whose rows do not belong to single samples,
    are taken for alike.

    Args:
        run: The model and the data.
    """
    note_ranks(run.normal, run.data, run.runtime)
    with run.progress.stage("calibrate", run.gathered_samples) as advance:
        observer = run.observer(gradients=True, side="input")
        draws = run.sampling.draws
        found = row_importance(observer, run.targets, run.data, draws, advance, run.only)
    statistics, unreachable = {}, {}
    for target in run.targets:
        rows = found.get(target.name)
        if rows is None:
            alike = target.name not in observer.not_finite
            make = RowImportance.alike if alike else RowImportance.empty
            rows = make(target.groups, target.rows)
            unreachable[target.name] = observer.unreachable.get(target.name, _UNKNOWN)
        nothing = Moments.empty(target.groups, target.width)
        statistics[target.name] = TargetStatistics(nothing, rows=rows)
    return Gathered([Statistics(statistics)], observer, unreachable, observer.not_finite)


def row_importance(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    only: npt.NDArray[np.bool_] | None = None,
) -> dict[str, RowImportance]:
    """Sums the squared gradients of each row of each weight.

    Args:
        observer: The model, observed at the inputs of the targets, with gradients.
        targets: The targets.
        data: The calibration data.
        draws: Labels to draw for each sample.
        advance: Called after each batch with its number of samples.
        only: Which samples, shape (samples,); None for all.

    Returns:
        Target name to the importance of its rows; zero where a target never ran. Targets without
        gradients, whose rows do not belong to single samples, or where something is not finite are
        left out.
    """
    sums: dict[str, Array] = {}
    samples = 0
    for batch in micro_batches(data, only, observer):
        samples += draws * batch.samples
        for draw in range(draws):
            observation = observer.run(batch, draw)
            for target in targets:
                if target.name in observer.gradients:
                    add = _add_embedding_rows if target.embedding else _add_rows
                    add(sums, target, observation)
            del observation  # before the next batch runs
        advance(batch.samples)
    finite = observer.gradients.keys() - observer.not_finite
    return {n: RowImportance(samples, total) for n, total in sums.items() if n in finite}


def _add_rows(sums: dict[str, Array], target: Target, observation: Observation) -> None:
    """Adds what one batch shows of a product."""
    found = observation.paired(target)
    if found is None and observation.ran(target):
        return
    total = sums.setdefault(target.name, np.zeros((target.groups, target.rows)))
    if found is None:
        return
    signal, gradient, scale = found
    for group in range(target.groups):
        # Sample by sample, so that one gradient of the weight is in memory.
        for x, g in zip(signal[group], gradient[group], strict=True):
            total[group] += np.square(scale * (x.T @ g)).sum(axis=1, dtype=np.float64)


def _add_embedding_rows(sums: dict[str, Array], target: Target, observation: Observation) -> None:
    """Adds what one batch shows of an embedding, whose `x` are one-hot rows."""
    found = observation.embeddings(target)
    if found is None:
        return
    total = sums.setdefault(target.name, np.zeros((1, target.rows)))
    for picked, gradient in zip(*found, strict=True):
        rows, places = np.unique(picked, return_inverse=True)
        summed = np.zeros((len(rows), target.columns))
        np.add.at(summed, places.reshape(-1), gradient)
        total[0, rows] += np.square(summed).sum(axis=1)
