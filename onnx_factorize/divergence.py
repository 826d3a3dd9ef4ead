"""Divergence of a compressed model from the dense one, in each output's own kind.

A prediction is one distribution: a vector of class probabilities for a categorical output, one
element for a bernoulli or a gaussian one. The divergence of an output is the mean over its
predictions of KL(dense || compressed), in nats; a gaussian prediction has the variance that the
dense output has over the data, so that its divergence is half of the relative squared error.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .passes import OutputKind
from .statistics.rows import unmasked

__all__ = ["DivergenceSum"]

Array = npt.NDArray[Any]

_FLOOR = 1e-12


@dataclasses.dataclass
class DivergenceSum:
    """The divergence of one output, summed batch by batch.

    Attributes:
        kind: What the output stands for.
        predictions: Number of predictions seen.
        agreements: Of these, those with the same most likely class; 0 unless categorical.
    """

    kind: OutputKind
    predictions: int = 0
    agreements: int = 0
    _divergence: float = 0.0
    _sum: float = 0.0
    _squares: float = 0.0

    def add(
        self, dense: Array, compressed: Array, mask: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """Adds one batch.

        Args:
            dense: The dense model's output.
            compressed: The compressed model's, of the same shape.
            mask: Positions that hold data, shape (batch, length).
        """
        p = unmasked(dense, mask).astype(np.float64)
        q = unmasked(compressed, mask).astype(np.float64)
        if self.kind.kind == "categorical":
            # Masking joins leading axes, so the class axis is counted from the end.
            axis = self.kind.axis
            self._add_categorical(p, q, axis if axis is None or axis < 0 else axis - dense.ndim)
        elif self.kind.kind == "bernoulli":
            p, q = np.clip(p, _FLOOR, 1 - _FLOOR), np.clip(q, _FLOOR, 1 - _FLOOR)
            events = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
            self._divergence += float(events.sum())
            self.predictions += p.size
        else:
            self._divergence += 0.5 * float(np.square(p - q).sum())
            self._sum += float(p.sum())
            self._squares += float(np.square(p).sum())
            self.predictions += p.size

    @property
    def value(self) -> float:
        """Mean divergence of a prediction, in nats."""
        if not self.predictions:
            return 0.0
        mean, scale = self._divergence / self.predictions, self.scale
        return mean / scale if scale > 0 else (0.0 if mean == 0 else np.inf)

    @property
    def unscaled(self) -> float:
        """The summed divergence, before the division by `scale`."""
        return self._divergence

    @property
    def scale(self) -> float:
        """What divides the divergence: of a gaussian output, its variance over the data."""
        if self.kind.kind != "gaussian" or not self.predictions:
            return 1.0
        average = self._sum / self.predictions
        return self._squares / self.predictions - average**2

    @property
    def agreement(self) -> float | None:
        """Share of predictions with the same most likely class; None unless categorical."""
        if self.kind.kind != "categorical" or not self.predictions:
            return None
        return self.agreements / self.predictions

    def _add_categorical(self, p: Array, q: Array, axis: int | None) -> None:
        axis = class_axis(p) if axis is None else axis
        log_p, log_q = (self._log_probabilities(x, axis) for x in (p, q))
        # A class that is impossible in both models (a logit of minus infinity) adds nothing.
        possible = np.isfinite(log_p)
        gaps = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=possible)
        self._divergence += float((np.exp(log_p) * gaps).sum())
        self.predictions += p.size // p.shape[axis]
        self.agreements += int((p.argmax(axis) == q.argmax(axis)).sum())

    def _log_probabilities(self, x: Array, axis: int) -> Array:
        if self.kind.scale == "logit":
            shifted: Array = x - x.max(axis, keepdims=True)
            result: Array = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
            return result
        if self.kind.scale == "log-probability":
            return x
        return np.log(np.maximum(x, _FLOOR))


def class_axis(probabilities: Array) -> int:
    """The axis along which probabilities sum to one, the last if none does."""
    errors = [
        float(np.abs(probabilities.sum(axis) - 1).max()) for axis in range(probabilities.ndim)
    ]
    return int(np.argmin(errors)) if min(errors, default=1) < 1e-2 else -1
