"""`--budget latency=5ms`: measured time for one sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...allocation.price import Price, Taken
from ...passes import Target
from .registry import register

__all__ = ["Latency"]


@register
class Latency(Price):
    """Milliseconds for one sample, as predicted from the latency of each operator."""

    name = "latency"
    timed = True
    speed = True

    def of_model(self, targets: Sequence[Target]) -> float:
        """The dense model's latency."""
        assert self.costs.latency_ms is not None
        return self.costs.latency_ms

    def of(self, target: Target, taken: Taken) -> npt.NDArray[np.float64]:
        """Its latency; none where it was not measured, for then it stays as it is."""
        return np.zeros(len(taken.params)) if taken.times is None else taken.times

    @classmethod
    def accepts(cls, value: float) -> bool:  # noqa: ARG003
        """Any number of milliseconds."""
        return True
