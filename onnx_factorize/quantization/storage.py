"""How a model will be written, and hence how many bytes its weights take."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import onnx_ir as ir

from ..calibration import CalibrationData
from ..files import model_io
from ..passes import Target
from .quantizers import Way, bytes_of_weight, quantize

__all__ = ["External", "Quantized", "Storage", "location_of"]


class Storage:
    """A model is written as it is.

    Attributes:
        dense: Bytes of the dense model written so; None where that is its own size.
        location: The name of the file beside it that holds its weights; None for one file.
    """

    dense: int | None = None
    location: str | None = None

    def size(self, model: ir.Model) -> int:
        """Bytes of a model's files."""
        return model_io.serialized_size(model, self.location)


class External(Storage):
    """Weights are in a file beside the model, as those of the dense model were."""

    def __init__(self, model: ir.Model, location: str) -> None:
        """Takes the dense model, and the name of the file."""
        self.location = location
        self.dense = self.size(model)


@dataclasses.dataclass(frozen=True)
class Quantized(Storage):
    """A model is quantized before it is written: then a dense operator, too, takes a quarter.

    Attributes:
        way: How it is quantized.
        data: What ranges are measured on, if they are.
        dense: Bytes of the dense model, quantized and not factorized.
        location: As above.
    """

    way: Way
    data: CalibrationData
    dense: int
    location: str | None = None

    @classmethod
    def of(
        cls,
        way: Way,
        model: ir.Model,
        targets: Sequence[Target],
        data: CalibrationData,
        location: str | None = None,
    ) -> Quantized:
        """Quantizes the dense model, and tells targets what one of their weights will take.

        Raises:
            InputError: It cannot be quantized, which is better known before the work than after.
        """
        for target in targets:
            # Factors of an operator are quantized as it is.
            each = bytes_of_weight(way, target.op_type, target.itemsize)
            for view in (target, *target.views):
                view.written = each
        size = model_io.serialized_size(quantize(model, way, data), location)
        return cls(way, data, size, location)

    def size(self, model: ir.Model) -> int:
        """Bytes of a model's file once it is quantized, which is found out by doing it."""
        return model_io.serialized_size(quantize(model, self.way, self.data), self.location)


def location_of(source: model_io.Model) -> str:
    """The name of the file of weights beside a result that is written under its default name."""
    stem = "model"
    if isinstance(source, str | os.PathLike):
        stem = pathlib.Path(source).name.removesuffix(".onnx")
    return f"{stem}.factorized.onnx.data"
