"""`--keep top1=0.99`: right answers, of labels in the data."""

from __future__ import annotations

from ...arrays import NamedArrays
from ...calibration import Batch
from ...calibration.inputs.labels import class_numbers
from ...errors import InputError
from ...outputs import Categorical
from .confidence import Estimate
from .quantity import Outputs, Quantity, of_counts, pieces
from .registry import register

__all__ = ["Top1"]


@register
class Top1(Quantity):
    """The compressed model's right answers over the dense model's, of labels in the data."""

    name = "top1"

    def __init__(self, outputs: Outputs) -> None:
        self._axes = {n: o.axis for n, o in outputs.items() if isinstance(o, Categorical)}
        self._shares: list[tuple[float, float]] = []

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch; labels below 0 stand for none."""
        if batch.labels is None:
            raise InputError(
                f"--keep top1=… needs a key 'label' in the calibration data; {batch.origin} has "
                "none. Without labels, use --keep agreement=…."
            )
        for name, axis in self._axes.items():
            labels = class_numbers(batch.labels, dense[name].shape, axis)
            if labels is not None:
                answers = [outputs[name].argmax(axis) for outputs in (compressed, dense)]
                break
        else:
            raise InputError(
                f"--keep top1=…: the labels of {batch.origin}, of shape {list(batch.labels.shape)} "
                f"and type {batch.labels.dtype}, fit no output of classes."
            )
        right = [answer == labels for answer in answers]
        for piece in pieces(batch, {name: answers[0]}):
            self._shares.append((float(right[0][piece].sum()), float(right[1][piece].sum())))

    def estimate(self) -> Estimate:
        """The share of the dense model's accuracy that is left."""
        return of_counts(self._shares)
