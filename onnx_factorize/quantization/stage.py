"""The step of the pipeline that quantizes, and what the report says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir

from ..allocation.calibrated import Calibrated
from ..allocation.model_costs import Costs, measure_costs
from ..calibration import CalibrationData
from ..evaluation import compare_outputs
from ..options import Options
from ..passes import with_outputs
from ..progress import Progress
from ..runtime.runtimes import runtime_of
from ..runtime.session import Runtime, Session
from .quantizers import SAMPLES, Mode, quantize
from .storage import Quantized

__all__ = ["Quantization", "quantized"]


# Calibration samples on which 7 bits are weighed against 8, and what they must come down to: with
# 8, steps are half as long, and only sums that saturate lose more.
_WEIGHED = 64
_BETTER = 0.9


@dataclasses.dataclass(frozen=True)
class WeightBits:
    """The number of bits of a weight that are used.

    Attributes:
        full: The divergence with 8 bits, on calibration samples.
        reduced: The same with 7.
    """

    full: float
    reduced: float

    @property
    def used(self) -> int:
        """The number of bits: 7 only where that loses less by far."""
        return 7 if self.reduced < _BETTER * self.full else 8

    @property
    def said(self) -> str:
        """The choice and its reason, as one line."""
        figures = f"{self.full:.2g} nats with 8 bits, {self.reduced:.2g} with 7"
        if self.used == 8:
            return f"weights use all 8 bits: {figures}"
        return (
            f"weights use 7 of 8 bits: {figures}, as where sums of 8-bit products saturate (on x86 "
            "processors without VNNI)"
        )

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        return {**dataclasses.asdict(self), "used": self.used, "said": self.said}


@dataclasses.dataclass(frozen=True)
class Quantization:
    """The quantization of a factorized model.

    Attributes:
        bits: To how many.
        mode: How.
        before: What the factorized model cost.
        divergence: Of the factorized model from the dense one, on held-out samples.
        weights: How many bits of a weight are used, and why; None where there is no choice.
    """

    bits: str
    mode: Mode
    before: Costs
    divergence: float
    weights: WeightBits | None = None

    def costs_of(self, quantized: Costs) -> Costs:
        """The costs of the quantized model: the parameters and multiplications are the same."""
        same = self.before
        return dataclasses.replace(quantized, params=same.params, arithmetic=same.arithmetic)

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        return {
            "bits": self.bits,
            "way": self.mode,
            "bytes": self.before.bytes,
            "divergence": self.divergence,
            "weights": None if self.weights is None else self.weights.as_dict(),
        }


def quantize_best(
    known: Calibrated,
    model: ir.Model,
    dense: Session,
    runtime: Runtime,
    watched: Sequence[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[ir.Model, WeightBits | None]:
    """Quantizes a model with as many bits of each weight as lose least.

    Whether sums of 8-bit products saturate depends on the processor, and how much that loses on the
    weights: so both are measured. In 4 bits, factors are taken as they are where rotated ones lose
    more: the numbers that share a scale are few, and may be alike already.

    Args:
        known: The calibrated model; results are stored as `Quantized` says.
        model: The model; it is not changed.
        dense: What it is compared with.
        runtime: How to run the models.
        watched: Further values that are to keep their names.
        advance: Called after each batch with its number of samples.

    Returns:
        The quantized model, and how the bits were chosen; None where there is no choice.
    """
    assert isinstance(known.costs.storage, Quantized)
    mode, data, outputs = known.costs.storage.mode, known.data, known.outputs
    names = list(dict.fromkeys([*outputs, *watched]))
    full = quantize_watched(model, mode, data, names, advance)

    def loss(candidate: ir.Model) -> float:
        session = runtime.session(candidate, list(outputs))
        found = compare_outputs(
            dense, session, outputs, data, "calibration", _WEIGHED, finite=False
        )
        return found.divergence

    if mode == "weights":
        plain = quantize_watched(model, mode, data, names, rotated=False)
        return min((full, plain), key=loss), None
    reduced = quantize_watched(model, mode, data, names, reduced=True)
    bits = WeightBits(loss(full), loss(reduced))
    return (full if bits.used == 8 else reduced), bits


def quantize_watched(
    model: ir.Model,
    mode: Mode,
    data: CalibrationData,
    names: Sequence[str],
    advance: Callable[[int], None] = lambda _: None,
    *,
    reduced: bool = False,
    rotated: bool = True,
) -> ir.Model:
    """Quantizes a model so that values by which it is compared keep their names.

    Args:
        model: The model; it is not changed.
        mode: How to quantize it.
        data: The calibration data.
        names: The values.
        advance: Called after each batch with its number of samples.
        reduced: See `quantize`.
        rotated: Likewise.
    """
    watched = with_outputs(model, names)
    result = quantize(watched, mode, data, advance, reduced=reduced, rotated=rotated)
    own = {value.name for value in model.graph.outputs}
    result.graph.outputs[:] = [value for value in result.graph.outputs if value.name in own]
    return result


def quantized(
    known: Calibrated, model: ir.Model, options: Options, progress: Progress
) -> tuple[ir.Model, Quantization | None]:
    """Measures a factorized model, and quantizes it if the options ask for that.

    Args:
        known: The calibrated model.
        model: The factorized model; it is not changed.
        options: To how many bits, and how models are run.
        progress: What is told how far it is.

    Returns:
        The model as it will be written, and what it was before; None if it is the same.
    """
    storage, outputs, runtime = known.costs.storage, known.outputs, runtime_of(options.runtime)
    if not options.quantize or not isinstance(storage, Quantized):
        return model, None
    data = storage.data
    sample = data.typical("holdout")
    before = measure_costs(model, sample, runtime, location=storage.location)
    with progress.stage("verify factors", data.holdout_samples) as advance:
        names = list(outputs)
        pair = runtime.session(known.dense, names), runtime.session(model, names)
        found = compare_outputs(*pair, outputs, data, "holdout", advance=advance, finite=False)
    steps = min(SAMPLES, data.calibration_samples) if storage.mode == "static" else None
    with progress.stage("quantize", steps) as advance:
        result, weights = quantize_best(known, model, pair[0], runtime, advance=advance)
    made = Quantization(options.quantize, storage.mode, before, found.divergence, weights)
    return result, made
