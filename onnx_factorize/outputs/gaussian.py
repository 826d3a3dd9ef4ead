"""Outputs that are plain numbers, each in the scale of its part."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..keyed_random import Keys, normal
from ..passes import SeedInputs
from .categorical import weight_of
from .distribution import (
    Compared,
    OutputDistribution,
    blocks,
    cosine,
    positions,
    rows_of_samples,
    spread,
)
from .fills import is_fill

__all__ = ["Gaussian"]

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Gaussian(OutputDistribution):
    """One number an element, with the variance that its like have over the data.

    Attributes:
        axis: The axis along which elements differ in scale, counted from the end; None if they
            have one scale.
        variances: Of the elements along it, shape (length,), or (1,) for one scale.
        part_of: The part of each of them, likewise.
        fills: Values that stand for "nothing here"; elements that have one of them in both models
            count nowhere.
    """

    axis: int | None = None
    variances: Float = dataclasses.field(default_factory=lambda: np.ones(1))
    part_of: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(1, int))
    fills: tuple[float, ...] = ()

    def scales(self, length: int | None) -> tuple[Float, npt.NDArray[np.int64]]:
        """Variances and parts along the axis; the first part's mean where the length is another."""
        if self.axis is None or length == len(self.variances):
            return self.variances, self.part_of
        return np.array([self.variances.mean()]), np.zeros(1, int)

    def compare(
        self, dense: AnyArray, compressed: AnyArray, samples: int, mask: Mask | None = None
    ) -> Compared:
        """Compares two values of the output; see `OutputDistribution.compare`."""
        if dense.ndim == 0 or (self.axis is not None and self.axis == -dense.ndim):
            # The axis of the parts is the first one, or there is none: all is one row.
            dense, compressed, samples = dense[None], compressed[None], 1
        data = positions(dense.shape, mask, dense.ndim)
        variances, part_of = self.scales(None if self.axis is None else dense.shape[self.axis])
        parts = len(self.parts)
        belongs = np.eye(parts)[part_of]
        found = np.zeros((2, len(dense), parts))
        for block in blocks(dense.shape):
            p, q = (x[block] for x in (dense, compressed))
            valid = data[block] & ~(is_fill(p, self.fills) & (is_fill(q, self.fills) | (p == q)))
            with np.errstate(invalid="ignore", over="ignore"):
                squares = np.square(p.astype(np.float64) - q)
            squares = np.where(valid, np.where(np.isnan(squares), np.inf, squares), 0.0)
            for row, values in enumerate((squares, valid)):
                found[row, block] = self._by_part(
                    values, belongs / (2 * variances[:, None]) if row == 0 else belongs
                )
        divergences, predictions = (rows_of_samples(row, samples) for row in found)
        return Compared(divergences, predictions)

    def _by_part(self, values: AnyArray, weights: Float) -> Float:
        """Sums over all axes but the first, shape (n, parts)."""
        if len(weights) == 1:
            total: Float = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
            return np.asarray(total[:, None] * weights)
        assert self.axis is not None
        moved = np.moveaxis(values, self.axis, -1).reshape(len(values), -1, len(weights))
        summed = moved.sum(axis=1, dtype=np.float64)
        infinite = ~np.isfinite(summed)
        total = np.asarray(np.where(infinite, 0, summed) @ weights)
        if infinite.any():
            total = np.where(infinite @ (weights > 0), np.inf, total)
        return total

    def cosines(self, dense: AnyArray, compressed: AnyArray) -> Float:
        """The cosine between two values, of each part, shape (parts,)."""
        length = None if self.axis is None else dense.shape[self.axis]
        _, part_of = self.scales(length)
        p, q = (np.where(is_fill(x, self.fills), 0, x) for x in (dense, compressed))
        if self.axis is None or len(part_of) == 1:
            return np.full(len(self.parts), cosine(p, q))
        p, q = (np.moveaxis(x, self.axis, -1) for x in (p, q))
        return np.array(
            [cosine(p[..., part_of == n], q[..., part_of == n]) for n in range(len(self.parts))]
        )

    def precisions(self, shape: tuple[int, ...]) -> Float:
        """The weight of each element's squared change in a sample, as it broadcasts to a shape.

        One over its variance, the number of parts, and the number of elements of its part.
        """
        length = None if self.axis is None or not shape else shape[self.axis]
        variances, part_of = self.scales(length)
        counts = np.array([self.per_sample(part) for part in range(len(self.parts))])
        each = 1 / (variances * counts[part_of] * len(self.parts))
        if self.axis is None or len(each) == 1:
            return np.asarray(each.reshape((1,) * len(shape)))
        return np.asarray(each.reshape(-1, *(1,) * (-self.axis - 1)))

    def feeds(
        self,
        inputs: SeedInputs,
        shape: tuple[int, ...],
        keys: Keys,
        mask: Mask | None,
        labels: AnyArray | None,
    ) -> dict[str, AnyArray]:
        """Feeds of the gradient's seed; see `OutputDistribution.feeds`."""
        precisions = self.precisions(shape)
        weight = weight_of(shape, mask, 1.0)
        if inputs.fed == "label":
            assert labels is not None
            assert inputs.weight is not None
            variances, _ = self.scales(None if self.axis is None else shape[self.axis])
            if self.axis is not None and len(variances) > 1:
                variances = variances.reshape(-1, *(1,) * (-self.axis - 1))
            scale = np.sqrt(precisions / variances)
            return {
                inputs.numbers: labels.astype(np.float32),
                inputs.weight: (scale * weight).astype(np.float32),
            }
        numbers = normal(*spread(keys, shape)).reshape(shape)
        return {inputs.numbers: numbers * (np.sqrt(precisions) * weight).astype(np.float32)}
