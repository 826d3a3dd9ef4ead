"""Samples chosen from a source, some of them held out, as batches that fit the model."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..options import Memory, Selection
from ..passes import DRAWS
from ..runtime.footprint import Footprint, fed_bytes
from .batch import Batch, joinable, joined, rows_of
from .batch_axis import BatchAxis
from .inputs.labels import LABEL_KEYS
from .inputs.signature import Signature
from .kept_rows import BLOCK, KeptRows
from .masks import Padding
from .sources import Source

__all__ = ["CalibrationData"]

Split = Literal["calibration", "holdout"]


class CalibrationData:
    """Calibration data: two disjoint splits, each of which can be read any number of times.

    Attributes:
        calibration_samples: Number of samples to calibrate on.
        holdout_samples: Number of samples to verify on.
        available: Number of samples in the source.
        shares_holdout: Whether both splits are the same: for want of a second sample, or because
            nothing is to be held out.
        axis: Where the samples are in the model's inputs.
        padding: Which of these says what is padding.
        memory: What they may take, and what is computed of them.
        footprint: What the model takes to run on them; None where that was not measured.
    """

    def __init__(
        self,
        source: Source,
        signature: Signature,
        selection: Selection,
        axis: BatchAxis,
        memory: Memory | None = None,
    ) -> None:
        self.memory = memory or Memory()
        self.axis = axis
        self.padding = Padding()
        self.footprint: Footprint | None = None
        self._said_of_labels: str | None = None
        self._source = source
        self._signature = signature
        counts = source.counts()
        unit = signature.batch or 1
        self.available = sum(counts)
        units = self.available // unit
        if units == 0:
            raise InputError(
                f"The calibration data hold {self.available} samples, but the model takes "
                f"{unit} at once."
            )
        taken = min(units, max(1, selection.samples // unit))
        rng = np.random.default_rng(selection.seed)
        # One unit of each stratum, at a random place: an even step would resonate with data that
        # repeat (every n-th crop of every photograph). Those held out are chosen in the same way.
        chosen = _one_of_each(taken, units, rng)
        held = 0
        if taken > 1 and selection.holdout > 0:
            held = min(taken - 1, max(1, round(taken * selection.holdout)))
        mask = np.zeros(taken, bool)
        mask[_one_of_each(held, taken, rng)] = True
        self.shares_holdout = held == 0
        self._rows = {
            "calibration": _expand(chosen[~mask], unit),
            "holdout": _expand(chosen[mask] if held else chosen, unit),
        }
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        chosen = np.unique(np.concatenate([*self._rows.values()]))
        self._kept = KeptRows(self._starts, chosen, self.memory.rows)
        self._batch_size = unit if signature.batch else max(1, selection.batch_size)

    @property
    def calibration_samples(self) -> int:
        """Number of samples to calibrate on."""
        return len(self._rows["calibration"])

    @property
    def holdout_samples(self) -> int:
        """Number of samples to verify on."""
        return len(self._rows["holdout"])

    @property
    def batch_size(self) -> int:
        """Samples of a batch, unless asked otherwise."""
        return self._batch_size

    @property
    def unit(self) -> int:
        """Samples that belong together, because the model fixes its batch."""
        return self._signature.batch or 1

    @property
    def regroups(self) -> bool:
        """Tells whether the model takes samples in any number, or one by one."""
        return self._signature.batched and self._signature.batch in (None, 1)

    @property
    def chosen(self) -> npt.NDArray[np.int64]:
        """The places of all chosen samples in the data, those that are held out last."""
        return np.concatenate([self._rows["calibration"], self._rows["holdout"]])

    @property
    def filled(self) -> frozenset[str]:
        """Names of the inputs that the data lack, and that are filled in."""
        return self._signature.fills.names

    def as_dict(self) -> dict[str, Any]:
        """The reading of the data, for the report."""
        return {
            "filled": self._signature.fills.as_dict(),
            "batch_axis": self.axis.as_dict(),
            "mask": self.padding.as_dict(),
            "labels": {"said": self._said_of_labels},
        }

    def batches(
        self,
        split: Split,
        batch_size: int | None = None,
        only: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[Batch]:
        """Yields the batches of a split, in the order of the data.

        Samples of neighbouring files are joined where their shapes agree.

        Args:
            split: Which samples.
            batch_size: Samples of a batch; not heeded where the model fixes it.
            only: Which samples of the split to read, shape (samples of the split,). Where the
                model fixes the batch, the first sample of a batch speaks for all.
        """
        size = self._batch_size
        if batch_size is not None and self._signature.batch is None:
            size = batch_size
        pending: list[Batch] = []
        for piece in self._pieces(self._chosen(split, only)):
            if not self._signature.batched:
                yield piece
                continue
            if pending and not joinable(pending[0], piece):
                yield joined(pending)
                pending = []
            while piece.samples + sum(p.samples for p in pending) >= size:
                room = size - sum(p.samples for p in pending)
                yield joined([*pending, rows_of(piece, slice(0, room))])
                pending, piece = [], rows_of(piece, slice(room, None))  # noqa: PLW2901 - what is left of it
            if piece.samples:
                pending.append(piece)
        if pending:
            yield joined(pending)

    def micro_batches(
        self,
        split: Split,
        only: npt.NDArray[np.bool_] | None = None,
        taken: float | None = None,
    ) -> Iterator[Batch]:
        """Yields the batches of a split in parts so small that running them fits in memory.

        Args:
            split: Which samples.
            only: As for `batches`.
            taken: Bytes that a run takes for each byte that is fed; those of the model itself by
                default.
        """
        if taken is None:
            taken = 0.0 if self.footprint is None else self.footprint.running
        for batch in self.batches(split, only=only):
            each = taken * fed_bytes(batch.feeds) / batch.samples
            yield from self.parts(batch, max(1, int(self.memory.batch / max(1.0, each))))

    def in_order(self, most: int) -> Iterator[tuple[bool, Batch]]:
        """Yields the first samples of all data, each by itself, in the order of the data.

        Where the model fixes its batch, so many are one step. Each comes with whether it begins a
        record; where every record holds one sample, only the very first begins anything.

        Args:
            most: How many samples.
        """
        unit = self._signature.batch or 1
        starts = set(self._starts.tolist()) if np.diff(self._starts).max() > unit else {0}
        rows = np.arange(min(most, self.available) // unit * unit)
        for piece in self._pieces(rows):
            for first in range(0, piece.samples, unit):
                step = piece
                if piece.samples > unit:
                    step = rows_of(piece, slice(first, first + unit))
                yield bool(step.indices[0] in starts), step

    def typical(self, split: Split) -> Batch:
        """One sample, or one batch where the model fixes its size: that in the middle.

        Files of texts are often in the order of their lengths: the first is like no other.
        """
        middle = len(self._rows[split]) // 2
        if self._signature.batch is not None:
            middle -= middle % self._signature.batch
        only = np.arange(len(self._rows[split])) == middle
        return next(self.batches(split, 1, only))

    def parts(self, batch: Batch, most: int) -> Iterator[Batch]:
        """Yields a batch in parts of at most so many samples, where the model takes parts."""
        if not self._signature.batched or self._signature.batch is not None:
            yield batch
            return
        for start in range(0, batch.samples, most):
            yield rows_of(batch, slice(start, start + most))

    def origin_of(self, split: Split, sample: int) -> str:
        """The origin of a sample of a split, for people.

        Args:
            split: Which samples.
            sample: Its place in the split.
        """
        row = int(self._rows[split][sample])
        record = int(np.searchsorted(self._starts, row, "right")) - 1
        first, last = int(self._starts[record]), int(self._starts[record + 1])
        _, origin = self._source.read(record, row - first, row - first + 1)
        return origin if last - first == 1 else f"{origin}, index {row - first}"

    def some(self, most: int) -> npt.NDArray[np.bool_]:
        """Calibration samples that stand for all, evenly spread, shape (calibration_samples,).

        Args:
            most: How many, about: where the model fixes the batch, whole batches are chosen.
        """
        unit = self._signature.batch or 1
        units = self.calibration_samples // unit
        chosen = np.zeros(units, bool)
        count = min(units, max(1, most // unit))
        chosen[np.arange(count) * units // count] = True
        return np.repeat(chosen, unit)

    def measured(self, footprint: Footprint) -> CalibrationData:
        """The same data for a model that takes so much to run."""
        known = copy.copy(self)
        known.footprint = footprint
        return known

    def within(self, memory: Memory) -> CalibrationData:
        """The same data for a run that may take so much memory."""
        known = copy.copy(self)
        known.memory = memory
        known._kept = self._kept.within(memory.rows)  # noqa: SLF001 - of its own class
        return known

    def fewer(self, most: int) -> CalibrationData:
        """The same data with at most so many of the calibration samples, evenly spread."""
        if most >= self.calibration_samples:
            return self
        fewer = self._rows["calibration"][self.some(most)]
        chosen = copy.copy(self)
        chosen._rows = self._rows | {"calibration": fewer}  # noqa: SLF001 - of its own class
        return chosen

    def _chosen(self, split: Split, only: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
        rows = self._rows[split]
        if only is None:
            return rows
        unit = self._signature.batch or 1
        return rows[np.repeat(only[::unit], unit)]

    def _pieces(self, rows: npt.NDArray[np.int64]) -> Iterator[Batch]:
        """Yields runs of chosen samples, record by record, block by block."""
        for record in range(len(self._starts) - 1):
            first, last = self._starts[record], self._starts[record + 1]
            chosen = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
            for block in range(0, len(chosen) and chosen[-1] + 1, BLOCK):
                inside = chosen[(chosen >= block) & (chosen < block + BLOCK)]
                if not len(inside):
                    continue
                piece = self._kept.rows(self._read, record, inside)
                mask = self.padding.mask(piece.feeds, piece.samples)
                yield dataclasses.replace(piece, mask=mask)

    def _read(self, record: int, rows: npt.NDArray[np.int64]) -> Batch:
        """Reads rows of a record, as the model wants them; what is padding is not asked."""
        names = {spec.name for spec in self._signature.everything}
        start, stop = int(rows[0]), int(rows[-1]) + 1
        arrays, origin = self._source.read(record, start, stop)
        fitted = self._signature.conform(arrays, origin)
        samples = stop - start if self._signature.batched else 1
        labels = None
        if LABEL_KEYS[0] in fitted.keys() - names:
            labels = fitted.pop(LABEL_KEYS[0])
            if self._signature.batched and len(labels) != samples:
                raise InputError(
                    f"{origin}: '{LABEL_KEYS[0]}' does not hold one label for each sample."
                )
            if labels.dtype.kind == "U":
                self._said_of_labels = (
                    f"Labels are texts such as '{labels.flat[0]}', not class numbers: no "
                    "accuracy comes of them."
                )
        indices = int(self._starts[record]) + np.arange(start, stop)[:samples]
        if self._signature.draws:
            fitted[DRAWS] = indices
        whole = Batch(fitted, samples, labels, origin, indices, shared=self._signature.shared)
        if self._signature.batched and len(rows) < stop - start:
            return rows_of(whole, rows - start)
        return whole


def _one_of_each(strata: int, units: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A random unit of each of some equal strata, in order."""
    edges = (np.arange(strata + 1) * units) // max(strata, 1)
    return np.array([rng.integers(a, b) for a, b in itertools.pairwise(edges)], np.int64)


def _expand(units: npt.NDArray[np.int64], unit: int) -> npt.NDArray[np.int64]:
    """Sample indices of units of `unit` consecutive samples."""
    return (units[:, None] * unit + np.arange(unit)).reshape(-1)
