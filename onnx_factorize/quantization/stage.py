"""The step of the pipeline that quantizes, and what the report says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from ..allocation.costs import Costs, measure_costs
from ..calibration import CalibrationData
from ..evaluation import compare_outputs
from ..outputs import OutputDistribution
from ..passes import with_outputs
from ..progress import Progress
from ..runtime.session import Runtime
from .quantizers import SAMPLES, Mode, quantize

__all__ = ["Quantization", "quantized"]


@dataclasses.dataclass(frozen=True)
class Quantization:
    """How a factorized model was quantized.

    Attributes:
        bits: To how many.
        mode: How.
        before: What the factorized model cost.
        divergence: Of the factorized model from the dense one, on held-out samples.
    """

    bits: str
    mode: Mode
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
            "way": self.mode,
            "bytes": self.before.bytes,
            "divergence": self.divergence,
        }


def quantize_watched(
    model: ir.Model,
    mode: Mode,
    data: CalibrationData,
    names: Sequence[str],
    advance: Callable[[int], None] = lambda _: None,
) -> ir.Model:
    """Quantizes a model so that values by which it is compared keep their names.

    Args:
        model: The model; it is not changed.
        mode: How to quantize it.
        data: The calibration data.
        names: The values.
        advance: Called after each batch with its number of samples.
    """
    result = quantize(with_outputs(model, names), mode, data, advance)
    own = {value.name for value in model.graph.outputs}
    result.graph.outputs[:] = [value for value in result.graph.outputs if value.name in own]
    return result


def quantized(
    model: ir.Model,
    bits: str,
    mode: Mode,
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
        mode: How.
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
        names = list(outputs)
        pair = runtime.session(dense, names), runtime.session(model, names)
        found = compare_outputs(*pair, outputs, data, "holdout", advance=advance, finite=False)
    steps = min(SAMPLES, data.calibration_samples) if mode == "static" else None
    with progress.stage("quantize", steps) as advance:
        result = quantize_watched(model, mode, data, names, advance)
    return result, Quantization(bits, mode, before, found.divergence)
