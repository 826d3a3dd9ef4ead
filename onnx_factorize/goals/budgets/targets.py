"""`--budget targets=0.5`: weights of the factorizable operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...allocation.price import Price, Taken
from ...passes import Target
from .registry import register

__all__ = ["Targets"]


@register
class Targets(Price):
    """Weights of the factorizable operators."""

    name = "targets"

    def of_model(self, targets: Sequence[Target]) -> float:
        """The weights of all targets, and those that could be read in none."""
        return self.costs.hidden + sum(target.params for target in targets)

    def of(self, target: Target, taken: Taken) -> npt.NDArray[np.float64]:
        """Its weights."""
        return taken.params.astype(np.float64)

    def why_not_less(self, dense: float) -> str:
        """The share of the weights that cannot be read, if there are any."""
        if not self.costs.hidden:
            return ""
        return (
            f", for {self.costs.hidden / dense:.1%} of the weights that it counts are in operators "
            "that cannot be read ('onnx-factorize inspect' lists them)"
        )
