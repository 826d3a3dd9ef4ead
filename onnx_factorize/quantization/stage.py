"""The step of the pipeline that quantizes, and what the report says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from ..calibration import CalibrationData
from ..costs import Costs, measure_costs
from ..evaluation import compare_outputs
from ..outputs import OutputDistribution
from ..progress import Progress
from ..session import Runtime, Session
from .quantizers import SAMPLES, Bits, Way, quantize

__all__ = ["Quantization", "quantized"]


@dataclasses.dataclass(frozen=True)
class Quantization:
    """How a factorized model was quantized.

    Attributes:
        bits: To how many.
        way: How.
        before: What the factorized model cost.
        divergence: Of the factorized model from the dense one, on held-out samples.
    """

    bits: Bits
    way: Way
    before: Costs
    divergence: float

    def costs_of(self, quantized: Costs) -> Costs:
        """The costs of the quantized model: the parameters and multiplications are the same."""
        same = self.before
        return dataclasses.replace(quantized, params=same.params, arithmetic=same.arithmetic)

    def as_dict(self) -> dict[str, Any]:
        """What the report holds."""
        return {
            "bits": self.bits,
            "way": self.way,
            "bytes": self.before.bytes,
            "divergence": self.divergence,
        }


def quantized(
    model: ir.Model,
    bits: Bits,
    way: Way,
    dense: ir.Model,
    outputs: Mapping[str, OutputDistribution],
    data: CalibrationData,
    runtime: Runtime,
    progress: Progress,
    location: str | None = None,
) -> tuple[ir.Model, Quantization]:
    """Measures a factorized model, and quantizes it.

    Args:
        model: The factorized model; it is not changed.
        bits: To how many.
        way: How.
        dense: The dense model.
        outputs: What each output stands for.
        data: The calibration data.
        runtime: How to run the models.
        progress: What is told how far it is.
        location: The name of the file that will hold its weights; None for one file.
    """
    sample = data.typical("holdout")
    before = measure_costs(model, sample, runtime, location=location)
    with progress.stage("verify factors", data.holdout_samples) as advance:
        pair = Session(dense, runtime), Session(model, runtime)
        found = compare_outputs(*pair, outputs, data, "holdout", advance=advance, finite=False)
    steps = min(SAMPLES, data.calibration_samples) if way == "static" else None
    with progress.stage("quantize", steps) as advance:
        result = quantize(model, way, data, advance)
    return result, Quantization(bits, way, before, found.divergence)
