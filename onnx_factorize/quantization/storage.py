"""The bytes of a model that is quantized before it is written."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import onnx_ir as ir

from ..calibration import CalibrationData
from ..files import model_io
from ..files.sizes import serialized_size
from ..passes import Target, operator_of
from .quantizers import Mode, bytes_per_weight, quantize

__all__ = ["Quantized", "location_of"]


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A model is quantized before it is written: then a dense operator, too, takes a quarter.

    Attributes:
        mode: How it is quantized.
        data: What ranges are measured on, if they are.
        dense: Bytes of the dense model, quantized and not factorized.
        location: The name of the file beside it that holds its weights; None for one file.
    """

    mode: Mode
    data: CalibrationData
    dense: int
    location: str | None = None

    @classmethod
    def of(
        cls,
        mode: Mode,
        model: ir.Model,
        data: CalibrationData,
        location: str | None = None,
    ) -> Quantized:
        """Quantizes the dense model.

        Raises:
            InputError: It cannot be quantized, which is better known before the work than after.
        """
        size = serialized_size(quantize(model, mode, data), location)
        return cls(mode, data, size, location)

    def bytes_per_weight(self, target: Target) -> float:
        """Bytes of a weight: factors of an operator are quantized as it is."""
        return bytes_per_weight(self.mode, operator_of(target), target.itemsize)

    def size(self, model: ir.Model) -> int:
        """Bytes of a model's file once it is quantized, which is found out by doing it."""
        return serialized_size(quantize(model, self.mode, self.data), self.location)


def location_of(source: model_io.Model) -> str:
    """The name of the file of weights beside a result that is written under its default name."""
    stem = "model"
    if isinstance(source, str | os.PathLike):
        stem = pathlib.Path(source).name.removesuffix(".onnx")
    return f"{stem}.factorized.onnx.data"
