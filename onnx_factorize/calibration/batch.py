"""Samples to run at once, divided and joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Batch", "joinable", "joined", "rows_of"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Samples to run at once.

    Attributes:
        feeds: Input name to array.
        samples: Number of samples.
        labels: Labels of the samples, shape (samples, …), or None.
        origin: The file, or the first of the files, that they come from.
        indices: The place of each sample in the whole data set, shape (samples,): what is random
            is keyed by it, and so does not depend on batches.
        mask: Which positions hold data, shape (samples, length); None if all do.
        shared: Names of the inputs that have no row for each sample.
    """

    feeds: dict[str, npt.NDArray[Any]]
    samples: int
    labels: npt.NDArray[Any] | None
    origin: str
    indices: npt.NDArray[np.int64] = dataclasses.field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    mask: npt.NDArray[np.bool_] | None = None
    shared: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """The origin of the samples, and what is special about them, for a message."""
        held = ""
        for name, array in self.feeds.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                what = "NaN" if np.isnan(array).any() else "infinite numbers"
                held = f", whose input '{name}' holds {what}"
        return f"{self.origin}{held}"


def rows_of(batch: Batch, index: slice | npt.NDArray[np.int64]) -> Batch:
    """Some samples of a batch."""
    feeds = {n: a if n in batch.shared else a[index] for n, a in batch.feeds.items()}
    return dataclasses.replace(
        batch,
        feeds=feeds,
        samples=len(np.arange(batch.samples)[index]),
        labels=None if batch.labels is None else batch.labels[index],
        indices=batch.indices[index],
        mask=None if batch.mask is None else batch.mask[index],
    )


def joinable(a: Batch, b: Batch) -> bool:
    """Tells whether samples of two batches can run at once."""
    if (a.mask is None) != (b.mask is None) or a.feeds.keys() != b.feeds.keys():
        return False
    if (a.labels is None) != (b.labels is None):
        return False
    if a.labels is not None and b.labels is not None and a.labels.shape[1:] != b.labels.shape[1:]:
        return False
    return all(
        np.array_equal(a.feeds[name], b.feeds[name])
        if name in a.shared
        else a.feeds[name].shape[1:] == b.feeds[name].shape[1:]
        for name in a.feeds
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """All samples of some batches, which must be joinable."""
    first = batches[0]
    if len(batches) == 1:
        return first
    feeds = {
        name: array if name in first.shared else np.concatenate([b.feeds[name] for b in batches])
        for name, array in first.feeds.items()
    }
    labels = [b.labels for b in batches if b.labels is not None]
    masks = [b.mask for b in batches if b.mask is not None]
    return dataclasses.replace(
        first,
        feeds=feeds,
        samples=sum(b.samples for b in batches),
        labels=np.concatenate(labels) if labels else None,
        indices=np.concatenate([b.indices for b in batches]),
        mask=np.concatenate(masks) if masks else None,
    )
