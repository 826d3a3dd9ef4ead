"""Promises on quality: what must hold of the compressed model on data that nobody has seen.

The held-out samples are few, so that a figure that they only just keep is broken by half of all
new data. What must keep the promise is a confidence bound of the figure, not the figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..errors import InputError
from ..options import Guarantee
from ..outputs import OutputDistribution
from .confidence import Estimate, lower_bound, upper_bound
from .own_metric import OwnMetric
from .quantities import QUANTITIES, Divergence, Quantity

__all__ = ["Promise"]


@dataclasses.dataclass(frozen=True)
class Promise(Guarantee):
    """A guarantee whose metric is known, and how it is measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.metric == "divergence" or self.metric in QUANTITIES
        if not known and ":" not in self.metric:
            raise InputError(
                f"--keep {self.metric}: there is no such metric; use {', '.join(QUANTITIES)}, or "
                "module:callable for your own."
            )

    @classmethod
    def of(cls, asked: Guarantee) -> Promise:
        """What keeps a guarantee that was asked for.

        Raises:
            InputError: There is no such metric.
        """
        return cls(asked.metric, asked.asked)

    def quantity(self, outputs: Mapping[str, OutputDistribution]) -> Quantity:
        """What measures it."""
        if self.metric == "divergence":
            return Divergence(outputs)
        if self.metric in QUANTITIES:
            return QUANTITIES[self.metric](outputs)
        return OwnMetric(self.metric, outputs)

    def bound(self, estimate: Estimate) -> float:
        """The confidence bound on the side where the promise breaks."""
        bound = upper_bound if self.metric == "divergence" else lower_bound
        return bound(estimate.shares)

    def strain(self, bound: float) -> float:
        """How far the promise is stretched: the loss over the loss allowed; kept up to 1."""
        if self.metric == "divergence":
            return bound / self.asked
        return (1 - bound) / (1 - self.asked)
