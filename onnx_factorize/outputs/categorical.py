"""Outputs that are distributions over classes."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..keyed_random import Keys, exponential, normal, uniform
from ..passes import OutputSeed, SeedInputs
from .distribution import Compared, OutputDistribution, blocks, positions, rows_of_samples, spread

__all__ = ["Categorical", "class_axis", "one_hot"]

Mask = npt.NDArray[np.bool_]

# Numbers that are compared at once, in float64: as many as caches hold.
_AT_ONCE = 1 << 16

# As small as a probability is taken to be.
FLOOR = 1e-12


@dataclasses.dataclass(frozen=True)
class Categorical(OutputDistribution):
    """One distribution over classes along an axis.

    Attributes:
        shift: The variance of the mean of a prediction's logits over the data, where it is not
            certain that the values are logits: softmax does not see their common shift, so it
            counts in its own scale, as the one of so many directions that it is. None if certain.
        classes: How many there are.
    """

    shift: float | None = None
    classes: int = 1

    @property
    def axis(self) -> int:
        """The class axis."""
        return -1 if self.kind.axis is None else self.kind.axis

    def compare(
        self, dense: AnyArray, compressed: AnyArray, samples: int, mask: Mask | None = None
    ) -> Compared:
        """Compares two values of the output; see `OutputDistribution.compare`."""
        data, axis = positions(dense.shape, mask, dense.ndim - 1), self.axis % dense.ndim
        found = np.zeros((3, len(dense)))
        for block in blocks(dense.shape):
            p, q = (np.moveaxis(x[block], axis, -1) for x in (dense, compressed))
            divergence, same = self._compared(p, q)
            for row, values in enumerate((divergence, np.ones_like(divergence), same)):
                found[row, block] = np.where(data[block], values, 0).reshape(len(p), -1).sum(axis=1)
        divergences, predictions, agreements = (rows_of_samples(row, samples) for row in found)
        return Compared(divergences[:, None], predictions[:, None], agreements)

    def _compared(self, p: AnyArray, q: AnyArray) -> tuple[AnyArray, AnyArray]:
        """The divergence of each prediction, in nats, and whether the likeliest class is the same.

        Args:
            p: The dense model's values, classes along the last axis.
            q: The compressed model's.
        """
        shape, classes = p.shape[:-1], p.shape[-1]
        p, q = (x.reshape(-1, classes) for x in (p, q))
        divergence, same = np.empty(len(p)), np.empty(len(p), bool)
        # Few at once: in double precision a vocabulary takes many times what the outputs do.
        for few in blocks(p.shape, _AT_ONCE):
            own = p[few].astype(np.float64), q[few].astype(np.float64)
            divergence[few] = self._divergence(*own)
            same[few] = own[0].argmax(-1) == own[1].argmax(-1)
        return divergence.reshape(shape), same.reshape(shape)

    def _divergence(self, p: AnyArray, q: AnyArray) -> AnyArray:
        """Of each prediction, in nats; classes are along the last axis."""
        log_p, log_q = (self.log_probabilities(x) for x in (p, q))
        # A class that is impossible in the dense model (a logit of minus infinity) adds nothing.
        possible = np.isfinite(log_p)
        if possible.all():
            gaps, weights = log_p - log_q, self._probabilities(p, log_p)
        else:
            gaps = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=possible)
            weights = np.exp(log_p, where=possible, out=np.zeros_like(log_p))
        with np.errstate(invalid="ignore"):
            divergence = np.einsum("nk,nk->n", weights, gaps)
        if self.shift is not None:
            # A class that is ruled out has one number in both models, which moves nothing.
            change = np.where(possible, p - np.where(possible, q, p), 0.0)
            mean = change.sum(-1) / np.maximum((change != 0).sum(-1), 1)
            divergence = divergence + mean**2 / (2 * self.shift * p.shape[-1])
        return np.where(np.isnan(divergence), np.inf, divergence)

    def _probabilities(self, x: AnyArray, logs: AnyArray) -> AnyArray:
        """Of values whose logarithms are known."""
        if self.kind.scale == "probability":
            return np.asarray(np.maximum(x, FLOOR))
        return np.asarray(np.exp(logs))

    def log_probabilities(self, x: AnyArray) -> AnyArray:
        """Of values whose classes are along the last axis."""
        if self.kind.scale == "logit":
            with np.errstate(invalid="ignore"):
                shifted: AnyArray = x - x.max(-1, keepdims=True)
            result: AnyArray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
            return result
        if self.kind.scale == "log-probability":
            return x
        return np.where(np.isnan(x), x, np.log(np.maximum(x, FLOOR)))

    def seed(self, *, given: bool = False) -> OutputSeed:
        """The seed of the gradient at the output."""
        return OutputSeed(self.kind, given, shift=self.shift is not None and not given)

    def feeds(
        self,
        inputs: SeedInputs,
        shape: tuple[int, ...],
        keys: Keys,
        mask: Mask | None,
        labels: AnyArray | None,
    ) -> dict[str, AnyArray]:
        """Feeds of the gradient's seed; see `OutputDistribution.feeds`."""
        axis = self.axis % len(shape)
        single = (*shape[:axis], 1, *shape[axis + 1 :])
        if inputs.fed == "label":
            assert labels is not None
            numbers = one_hot(labels, axis, shape[axis])
        elif inputs.fed == "exponential":
            numbers = exponential(*spread(keys, shape)).reshape(shape)
        else:
            numbers = uniform(*spread(keys, single)).reshape(single)
        root = self.per_sample(0) ** -0.5
        fed = {inputs.numbers: numbers}
        if inputs.weight is not None:
            fed[inputs.weight] = weight_of(shape, mask, root)
        if inputs.shift is not None and self.shift is not None:
            # One of N directions, and the mean is moved by a change of 1 / N of each class.
            scale = root * (self.shift * shape[axis]) ** -0.5 / shape[axis]
            noise = normal(*spread(keys ^ np.uint64(1), single)).reshape(single)
            fed[inputs.shift] = noise * weight_of(shape, mask, scale)
        return fed


def one_hot(labels: AnyArray, axis: int, classes: int) -> npt.NDArray[np.float32]:
    """One at the right class and zero elsewhere; all zero where a number is no class."""
    numbers = np.arange(classes).reshape(-1, *(1,) * (labels.ndim - axis))
    return np.asarray(np.expand_dims(labels, axis) == numbers, np.float32)


def weight_of(shape: tuple[int, ...], mask: Mask | None, scale: float) -> npt.NDArray[np.float32]:
    """A scale where there are data and zero where there is padding; it broadcasts to a shape."""
    return np.asarray(scale * positions(shape, mask, len(shape)), np.float32)


def class_axis(probabilities: AnyArray) -> int:
    """The axis along which probabilities sum to one, the last if none does."""
    errors = [
        float(np.abs(probabilities.sum(axis, dtype=np.float64) - 1).max())
        for axis in range(probabilities.ndim)
    ]
    return int(np.argmin(errors)) if min(errors, default=1) < 1e-2 else -1
