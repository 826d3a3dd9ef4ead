"""Outputs whose elements are probabilities of events."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..keyed_random import Keys, uniform
from ..passes import SeedInputs
from .categorical import FLOOR, weight_of
from .distribution import Compared, OutputDistribution, blocks, positions, rows_of_samples, spread

__all__ = ["Bernoulli"]

Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Bernoulli(OutputDistribution):
    """One event an element."""

    def compare(
        self, dense: AnyArray, compressed: AnyArray, samples: int, mask: Mask | None = None
    ) -> Compared:
        """Compares two values of the output; see `OutputDistribution.compare`."""
        data = positions(dense.shape, mask, dense.ndim)
        found = np.zeros((2, len(dense)))
        for block in blocks(dense.shape):
            p, q = (
                np.clip(x[block].astype(np.float64), FLOOR, 1 - FLOOR) for x in (dense, compressed)
            )
            divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
            divergence = np.where(np.isnan(divergence), np.inf, divergence)
            for row, values in enumerate((divergence, np.ones_like(p))):
                found[row, block] = np.where(data[block], values, 0).reshape(len(p), -1).sum(axis=1)
        divergences, predictions = (rows_of_samples(row, samples) for row in found)
        return Compared(divergences[:, None], predictions[:, None])

    def feeds(
        self,
        inputs: SeedInputs,
        shape: tuple[int, ...],
        keys: Keys,
        mask: Mask | None,
        labels: AnyArray | None,
    ) -> dict[str, AnyArray]:
        """Feeds of the gradient's seed; see `OutputDistribution.feeds`."""
        if inputs.fed == "label":
            assert labels is not None
            numbers: AnyArray = labels.astype(np.float32)
        else:
            numbers = uniform(*spread(keys, shape)).reshape(shape)
        assert inputs.weight is not None
        weight = weight_of(shape, mask, self.per_sample(0) ** -0.5)
        return {inputs.numbers: numbers, inputs.weight: weight}
