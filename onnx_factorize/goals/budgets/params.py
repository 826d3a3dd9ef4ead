"""`--budget params=0.5`: constants of the whole model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...allocation.price import Price, Taken
from ...files import model_io
from ...passes import Target
from .registry import register

__all__ = ["Params"]


@register
class Params(Price):
    """Constant elements of the whole model."""

    name = "params"

    def of_model(self, targets: Sequence[Target]) -> float:
        """All constants of the dense model."""
        return self.costs.params

    def of_rest(self, weights: int, size: int, macs: int) -> float:
        """The weights."""
        return float(weights)

    def of(self, target: Target, taken: Taken) -> npt.NDArray[np.float64]:
        """Its weights."""
        return taken.params.astype(np.float64)

    def of_rewritten(self, model: ir.Model, predicted: float) -> float:
        """All constants of a model."""
        return model_io.parameters(model)
