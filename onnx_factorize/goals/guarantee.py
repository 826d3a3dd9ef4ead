"""Guarantees on quality: what must hold of the compressed model on data that nobody has seen.

The held-out samples are few, so that a figure that they only just keep is broken by half of all
new data. What must keep the guarantee is a confidence bound of the figure, not the figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..options import Guarantee
from ..outputs import OutputDistribution
from .quantities import quantity_of
from .quantities.confidence import Estimate
from .quantities.quantity import Quantity

__all__ = ["MeasuredGuarantee"]


@dataclasses.dataclass(frozen=True)
class MeasuredGuarantee(Guarantee):
    """A guarantee whose metric is known, and how it is measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        quantity_of(self.metric)

    @classmethod
    def of(cls, asked: Guarantee) -> MeasuredGuarantee:
        """The measured form of a guarantee that was asked for.

        Raises:
            InputError: There is no such metric.
        """
        return cls(asked.metric, asked.asked)

    @property
    def kind(self) -> type[Quantity]:
        """The quantity that it is about."""
        return quantity_of(self.metric)

    @property
    def allowed(self) -> float:
        """The loss that is allowed."""
        return self.kind.allowed(self.asked)

    @property
    def described(self) -> str:
        """The name of the figure in a sentence."""
        return self.kind.described(self.metric)

    def quantity(self, outputs: Mapping[str, OutputDistribution]) -> Quantity:
        """The quantity, without samples so far."""
        return self.kind.of(self.metric, outputs)

    def bound(self, estimate: Estimate) -> float:
        """The confidence bound on the side where the guarantee breaks."""
        return self.kind.bound(estimate)

    def strain(self, bound: float) -> float:
        """The strain on the guarantee: the loss over the loss allowed; kept up to 1."""
        return self.kind.strain(bound, self.asked)
