"""Evidence on an output from the labels that come with the data."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray
from ..calibration.inputs.labels import class_numbers, values_of

__all__ = ["LabelsSeen"]


class LabelsSeen:
    """Evidence for classes or for values, from labels that fit an output in every batch."""

    def __init__(self) -> None:
        self._axes: set[int] | None = None
        self._values: bool | None = None

    def add(self, value: AnyArray, labels: AnyArray | None) -> None:
        """Adds the labels of one batch beside the output's value."""
        if labels is None or labels.dtype.kind not in "biuf":
            self._axes, self._values = set(), False
            return
        known = labels[np.isfinite(labels)]
        whole = bool((known == np.round(known)).all())
        axes = set()
        if whole and labels.size:
            # A matrix has its classes along its last axis, a map along axis 1.
            for axis in {1, value.ndim - 1} if value.ndim > 1 else set():
                numbers = class_numbers(labels, value.shape, axis)
                if numbers is not None and 1 < numbers.max() + 1 <= value.shape[axis]:
                    axes.add(axis)
        self._axes = axes if self._axes is None else self._axes & axes
        fits = values_of(labels, value.shape) is not None and not whole
        self._values = fits if self._values is None else self._values and fits

    @property
    def class_axis(self) -> int | None:
        """The class axis of an output that labels number the classes of; None if they do not."""
        return min(self._axes) if self._axes else None

    @property
    def are_values(self) -> bool:
        """Tells whether there is a real number for each element."""
        return bool(self._values)
