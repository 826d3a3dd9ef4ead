"""`--budget macs=0.5`: multiplications of the linear operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...allocation.price import Price, Taken
from ...errors import InputError
from ...passes import Target
from .registry import register

__all__ = ["Macs"]


@register
class Macs(Price):
    """Multiplications of the linear operators for one sample."""

    name = "macs"
    speed = True
    by_macs = True

    def of_model(self, targets: Sequence[Target]) -> float:
        """The multiplications of the dense model."""
        return self.costs.arithmetic.total

    def of_rest(self, weights: int, size: int, macs: int) -> float:
        """The multiplications."""
        return float(macs)

    def of(self, target: Target, taken: Taken) -> npt.NDArray[np.float64]:
        """Its multiplications."""
        return taken.macs

    def check(self) -> None:
        """Checks that all operators could be counted.

        Raises:
            InputError: Some could not.
        """
        left = self.costs.arithmetic.left
        if left:
            raise InputError(
                f"The multiplications of {len(left)} operators cannot be counted (the first is "
                f"'{left[0]}', in the body of a loop or a function): give a budget of params, "
                "bytes or latency."
            )
