"""`--budget bytes=12MB`: the model's files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...allocation.price import Price, Taken
from ...passes import Target
from .registry import register

__all__ = ["NODE_BYTES", "Bytes"]

# Serialized size of one more node, its names, its entry in the list of cuts and the headers of one
# more tensor, roughly. The result is measured, so this only saves a second round.
NODE_BYTES = 420


@register
class Bytes(Price):
    """Bytes of the model's files."""

    name = "bytes"

    def of_model(self, targets: Sequence[Target]) -> float:
        """The dense model's files."""
        return self.costs.bytes

    def of_stored(self, targets: Sequence[Target]) -> float:
        """The dense model's files, quantized if the result will be."""
        stored = self.costs.storage.dense
        return self.costs.bytes if stored is None else stored

    def of_rest(self, weights: int, size: int, macs: int) -> float:
        """Their bytes."""
        return float(size)

    def of(self, target: Target, taken: Taken) -> npt.NDArray[np.float64]:
        """Its weights as they will be written, and nodes that there are more of."""
        bytes_per_weight = float(self.costs.storage.bytes_per_weight(target))
        return taken.params.astype(np.float64) * bytes_per_weight + taken.nodes * NODE_BYTES

    def of_rewritten(self, model: ir.Model, predicted: float) -> float:
        """The files of a model."""
        return self.costs.storage.size(model)
