"""`--max-divergence 0.1`: the divergence from the dense model."""

from __future__ import annotations

import math

from ...arrays import NamedArrays
from ...calibration import Batch
from ...evaluation import Divergences
from .confidence import Estimate, ratio, upper_bound
from .quantity import Outputs, Quantity
from .registry import register

__all__ = ["Divergence"]


@register
class Divergence(Quantity):
    """The divergence from the dense model, in nats a prediction, summed over outputs.

    Of an output in several parts it is that of the part that diverges most, so that the guarantee
    is kept by each of them.
    """

    name = "divergence"
    share = False
    nothing = math.inf

    def __init__(self, outputs: Outputs) -> None:
        self._found = Divergences(outputs)

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch."""
        self._found.add(batch, dense, compressed)

    def estimate(self) -> Estimate:
        """The divergence of all that was added."""
        estimates = []
        for name in self._found.totals:
            rows, part = self._found.rows(name), self._found.worst_part(name)
            estimates.append(ratio(rows.divergences[:, part], rows.predictions[:, part], None))
        return sum(estimates[1:], estimates[0])

    @classmethod
    def bound(cls, estimate: Estimate) -> float:
        """The upper confidence bound."""
        return upper_bound(estimate.shares)

    @classmethod
    def allowed(cls, asked: float) -> float:
        """The divergence that was asked for."""
        return asked

    @classmethod
    def strain(cls, bound: float, asked: float) -> float:
        """The divergence over the one that was asked for."""
        return bound / asked

    @classmethod
    def title(cls, metric: str) -> str:
        """The name of the figure at the head of a sentence about its bound."""
        return metric

    @classmethod
    def described(cls, metric: str) -> str:
        """The name of the figure in a sentence."""
        return metric
