"""`--keep cosine=0.99`: the direction of outputs."""

from __future__ import annotations

import numpy as np

from ...arrays import Array, NamedArrays
from ...calibration import Batch
from ...calibration.positions import unmasked
from .confidence import Estimate
from .quantity import Outputs, Quantity, pieces
from .registry import register

__all__ = ["Cosine"]


@register
class Cosine(Quantity):
    """The mean cosine between the compressed and the dense model's outputs of a sample.

    Of an output in several parts it is that of the part that turns most.
    """

    name = "cosine"

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._cosines: dict[str, list[Array]] = {name: [] for name in outputs}

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch; padding is left out."""
        for piece in pieces(batch, {name: dense[name] for name in self._outputs}):
            here = None if batch.mask is None else batch.mask[piece]
            for name, output in self._outputs.items():
                p, q = (unmasked(answer[name][piece], here) for answer in (dense, compressed))
                self._cosines[name].append(output.cosines(p, q))

    def estimate(self) -> Estimate:
        """The mean cosine of all that was added."""
        worst = []
        for found in self._cosines.values():
            parts = np.array(found)
            worst.append(parts[:, parts.mean(axis=0).argmin()])
        cosines = np.mean(worst, axis=0)
        return Estimate(float(cosines.mean()), cosines)
