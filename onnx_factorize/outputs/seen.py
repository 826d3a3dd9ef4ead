"""Figures of one output of the dense model over the data."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..calibration.positions import unmasked
from ..errors import InputError
from ..passes import OutputKind
from .distribution import blocks
from .fills import find_fills, is_fill
from .parts import AxisMoments

__all__ = ["ClassesSeen", "OutputSeen"]

Mask = npt.NDArray[np.bool_]

# Longer axes are those of positions, whose elements are alike.
_LONGEST_AXIS = 1 << 16

# A class that is so many nats of logits behind another is as good as impossible.
_SATURATED = 30.0


class OutputSeen:
    """Sums over the values of one output, batch by batch.

    Attributes:
        kind: What the graph takes it for.
        samples: Samples seen.
        elements: Elements that count, padding and masked ones left out.
        fills: Values that stand for "nothing here".
        moments: Axis, counted from the end, to what was seen along it; empty for outputs that are
            probabilities. The axis of samples, and those that vary in length, are left out.
        classes: What was seen of the classes of a categorical output; None for others.
        lowest: The least of all elements.
        highest: The most.
    """

    def __init__(self, kind: OutputKind) -> None:
        self.kind = kind
        self.samples = 0
        self.elements = 0
        self.fills: set[float] = set()
        self.moments: dict[int, AxisMoments] = {}
        self.classes = ClassesSeen(kind) if kind.kind == "categorical" else None
        self.lowest, self.highest = np.inf, -np.inf
        self._shape: tuple[int, ...] | None = None

    def add(self, value: AnyArray, samples: int, mask: Mask | None, origin: str) -> None:
        """Adds one batch.

        Raises:
            InputError: The dense model's value is not a number.
        """
        if np.isnan(value).any():
            raise InputError(f"An output of the dense model is not finite on {origin}.")
        self.samples += samples
        if not value.size:
            return  # nothing was found in these samples
        kept = unmasked(value, mask)
        axis = -1 if self.kind.axis is None else self.kind.axis
        single = self.classes is not None and value.shape[axis] == 1
        if self.kind.kind == "gaussian" or not self.kind.certain or single:
            self._add_moments(value, kept, samples)
        else:
            self.elements += kept.size
        if self.classes is not None:
            self.classes.add(kept, value.ndim, self.fills)
        if kept.size:
            finite = kept[np.isfinite(kept)]
            self.lowest = min(self.lowest, float(finite.min(initial=np.inf)))
            self.highest = max(self.highest, float(finite.max(initial=-np.inf)))

    def length(self, axis: int) -> int:
        """The length of an axis, as it was in the first batch."""
        assert self._shape is not None
        return self._shape[axis]

    def _add_moments(self, value: AnyArray, kept: AnyArray, samples: int) -> None:
        self.fills |= find_fills(kept)
        valid = ~is_fill(kept, self.fills)
        self.elements += int(valid.sum())
        first = self._shape is None
        if self._shape is None:
            self._shape = value.shape
        # Masking joins the two leading axes, so axes are counted from the end.
        for axis in range(-kept.ndim, 0):
            length = kept.shape[axis]
            over_samples = axis == -value.ndim and length % samples == 0 and samples > 1
            joined = kept.ndim < value.ndim and axis == -kept.ndim
            same = len(self._shape) == value.ndim and self._shape[axis] == length
            if over_samples or joined or length == 1 or length > _LONGEST_AXIS or not same:
                self.moments.pop(axis, None)
                continue
            if first:
                self.moments[axis] = AxisMoments.empty(length)
            if axis in self.moments:
                rows = np.moveaxis(kept, axis, -1).reshape(-1, length)
                where = np.moveaxis(valid, axis, -1).reshape(-1, length)
                self.moments[axis].add(rows, where)
        if first:
            self.total = AxisMoments.empty(1)
        self.total.add(kept.reshape(-1, 1), valid.reshape(-1, 1))


class ClassesSeen:
    """Sums over the predictions of a categorical output.

    Attributes:
        predictions: Their number.
        classes: The number of classes.
        saturated: Predictions whose likeliest class leaves the next one as good as no chance.
        top: How often each class was the likeliest, shape (classes,).
        highest: The highest logarithm of each class's probability, shape (classes,).
        shifts: Sum and sum of squares of the mean logit.
    """

    def __init__(self, kind: OutputKind) -> None:
        self._kind = kind
        self.predictions = 0
        self.classes = 1
        self.saturated = 0
        self.top = np.zeros(1, np.int64)
        self.highest = np.zeros(1)
        self.shifts = np.zeros(2)

    @property
    def shift_variance(self) -> float:
        """The variance of the mean logit over the data."""
        total, squares = self.shifts / max(self.predictions, 1)
        return float(max(0.0, squares - total**2))

    def add(self, kept: AnyArray, rank: int, fills: Collection[float]) -> None:
        """Adds values without padding.

        Args:
            kept: The values.
            rank: The number of axes of the output.
            fills: Values that stand for "nothing here": of classes that are ruled out.
        """
        axis = -1 if self._kind.axis is None else self._kind.axis
        axis -= rank if axis >= 0 else 0
        values = np.moveaxis(kept, axis, -1).reshape(-1, kept.shape[axis])
        if self.predictions == 0:
            self.classes = values.shape[-1]
            self.top = np.zeros(self.classes, np.int64)
            self.highest = np.full(self.classes, -np.inf)
        if not len(values) or values.shape[-1] != self.classes:
            return
        self.predictions += len(values)
        self.top += np.bincount(values.argmax(-1), minlength=self.classes)
        if self._kind.certain or self.classes < 2:
            return
        for few in blocks(values.shape):
            self._add_logs(values[few], fills)

    def _add_logs(self, values: AnyArray, fills: Collection[float]) -> None:
        """Adds the logarithms of some predictions, shape (predictions, classes)."""
        ruled_out = is_fill(values, fills)
        values = np.where(ruled_out, -np.inf, values.astype(np.float64))
        values = values[~ruled_out.all(axis=-1)]
        if not len(values):
            return
        best = values.max(-1, keepdims=True)
        second = np.partition(values, -2, axis=-1)[:, -2]
        self.saturated += int((best[:, 0] - second > _SATURATED).sum())
        logs = values - best - np.log(np.exp(values - best).sum(-1, keepdims=True))
        self.highest = np.maximum(self.highest, logs.max(axis=0))
        mean = values.mean(-1, where=np.isfinite(values))
        self.shifts += mean.sum(), np.square(mean).sum()

    @property
    def says_nothing(self) -> bool:
        """Tells whether softmax gives one class for certain, or a class that is never possible."""
        often = self.saturated > 0.8 * self.predictions
        possible = self.highest > -np.inf
        return bool(often or (self.highest[possible] < -_SATURATED).any())
