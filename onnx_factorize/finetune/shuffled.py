"""Batches in a random order that a seed decides, from data that are read in theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..calibration import Batch, CalibrationData
from ..calibration.batch import joined, rows_of

__all__ = ["shuffled"]

# Memory for the inputs among which is shuffled.
_BUFFER_BYTES = 2**28


def shuffled(
    data: CalibrationData, only: npt.NDArray[np.bool_], rng: np.random.Generator
) -> Iterator[Batch]:
    """Yields the batches of some calibration samples in a random order.

    Samples change places with those of the same shape, as far apart as a buffer reaches; batches
    change places with all others there.

    Args:
        data: The calibration data.
        only: Which calibration samples, shape (samples,).
        rng: The source of the order.
    """
    buffer: list[Batch] = []
    size = 0
    for batch in data.batches("calibration", only=only):
        buffer.append(batch)
        size += sum(array.nbytes for array in batch.feeds.values())
        if size > _BUFFER_BYTES:
            yield from _mixed(buffer, rng)
            buffer, size = [], 0
    yield from _mixed(buffer, rng)


def _mixed(batches: list[Batch], rng: np.random.Generator) -> list[Batch]:
    """Samples of one shape change places; so do batches."""
    groups: dict[object, list[Batch]] = {}
    for number, batch in enumerate(batches):
        groups.setdefault(_shape(batch) or number, []).append(batch)
    mixed = [each for group in groups.values() for each in _exchanged(group, rng)]
    return [mixed[index] for index in rng.permutation(len(mixed))]


def _shape(batch: Batch) -> object | None:
    """The key that batches which exchange samples share; None if this one is indivisible."""
    if batch.shared or any(not a.ndim or len(a) != batch.samples for a in batch.feeds.values()):
        return None
    labels = None if batch.labels is None else batch.labels.shape[1:]
    return tuple(sorted((name, a.shape[1:]) for name, a in batch.feeds.items())), labels


def _exchanged(batches: list[Batch], rng: np.random.Generator) -> Iterator[Batch]:
    """The same batches, their samples exchanged at random."""
    if _shape(batches[0]) is None:
        yield from batches
        return
    pool = joined(batches)
    order = rng.permutation(pool.samples)
    for batch in batches:
        rows, order = order[: batch.samples], order[batch.samples :]
        yield dataclasses.replace(rows_of(pool, rows), origin=batch.origin)
