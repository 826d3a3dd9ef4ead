"""The step of the pipeline that quantizes, and what the report says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..allocation.calibrated import Calibrated
from ..allocation.model_costs import Costs, measure_costs
from ..calibration import CalibrationData
from ..calibration.folds import some_of
from ..evaluation import compare_outputs
from ..options import Options
from ..passes import with_outputs
from ..progress import Progress
from ..runtime.runtimes import runtime_of
from ..runtime.session import Runtime, Session
from .operand_moments import OperandMoments
from .quantizers import SAMPLES, Mode, quantize
from .rounding import (
    FULL,
    HALF,
    MIXED,
    PLAIN,
    REDUCED,
    ROTATED,
    Rounding,
    RoundingChoice,
    has_pairs,
)
from .storage import Quantized

__all__ = ["Quantization", "quantized"]


# Calibration samples on which ways to round are compared, and those that numbers of 4 bits are
# fitted to, at most: others.
_WEIGHED = 64
_FITTED = 256


@dataclasses.dataclass(frozen=True)
class WeightBits:
    """The number of bits of a weight that are used, where 8 are to be had.

    Attributes:
        full: The divergence with all of them, on calibration samples.
        reduced: The same with 7.
        used: The number.
    """

    full: float
    reduced: float
    used: int

    @classmethod
    def of(cls, choice: RoundingChoice) -> WeightBits | None:
        """The bits that a choice says; None where it was among other things."""
        if REDUCED.name not in choice.tried:
            return None
        full, reduced = (choice.tried[each.name] for each in (FULL, REDUCED))
        return cls(full, reduced, 7 if choice.used.reduced else 8)

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
        return {**dataclasses.asdict(self), "said": self.said}


@dataclasses.dataclass(frozen=True)
class Quantization:
    """The quantization of a factorized model.

    Attributes:
        bits: To how many.
        mode: How.
        before: What the factorized model cost.
        divergence: Of the factorized model from the dense one, on held-out samples.
        rounding: How its weights are rounded, and why.
    """

    bits: str
    mode: Mode
    before: Costs
    divergence: float
    rounding: RoundingChoice

    def costs_of(self, quantized: Costs) -> Costs:
        """The costs of the quantized model: the parameters and multiplications are the same."""
        same = self.before
        return dataclasses.replace(quantized, params=same.params, arithmetic=same.arithmetic)

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        weights = WeightBits.of(self.rounding)
        return {
            "bits": self.bits,
            "way": self.mode,
            "bytes": self.before.bytes,
            "divergence": self.divergence,
            "weights": None if weights is None else weights.as_dict(),
            "rounding": self.rounding.as_dict(),
        }


def quantize_best(
    known: Calibrated,
    model: ir.Model,
    dense: Session,
    runtime: Runtime,
    watched: Sequence[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> RoundingChoice:
    """Quantizes a model in the way that loses least, as measured.

    Whether sums of 8-bit products saturate depends on the processor, and how much that loses on the
    weights. In 4 bits factors may be better as they are than rotated: the numbers that share a
    scale are few, and may be alike already. There, codes are fitted to what weights multiply as
    well (see `gptq`), and judged on other samples than they were fitted to.

    Args:
        known: The calibrated model; results are stored as `Quantized` says.
        model: The model; it is not changed.
        dense: What it is compared with.
        runtime: How to run the models.
        watched: Further values that are to keep their names.
        advance: Called after each batch with its number of samples, for the first way.
    """
    assert isinstance(known.costs.storage, Quantized)
    mode, data, outputs = known.costs.storage.mode, known.data, known.outputs
    names = list(dict.fromkeys([*outputs, *watched]))
    weighed = min(_WEIGHED, max(1, data.calibration_samples // 2))
    judging = data.fewer(weighed)

    def make(rounding: Rounding) -> ir.Model:
        told = advance if rounding is first else lambda _: None
        return quantize_watched(model, mode, data, names, told, rounding)

    def loss(candidate: ir.Model) -> float:
        session = runtime.session(candidate, list(outputs))
        found = compare_outputs(dense, session, outputs, judging, "calibration", finite=False)
        return found.divergence

    if mode == "half":
        first = HALF
        choice = RoundingChoice(make, loss, first)
        if any(node.op_type in MIXED.kept for node in model.graph.all_nodes()):
            choice.offer(MIXED)
        return choice
    if mode != "weights":
        first = FULL
        choice = RoundingChoice(make, loss, first)
        choice.offer(REDUCED)
        return choice
    first = ROTATED
    choice = RoundingChoice(make, loss, first)
    if has_pairs(model):
        choice.offer(PLAIN)
    others = ~data.some(weighed)
    fitted = some_of(1, others.astype(np.int64), _FITTED) if others.any() else ~others
    moments = OperandMoments(data, fitted, runtime)
    for rounding in dict.fromkeys((ROTATED, choice.used)):
        choice.offer(rounding.fitted(moments))
    return choice


def quantize_watched(
    model: ir.Model,
    mode: Mode,
    data: CalibrationData,
    names: Sequence[str],
    advance: Callable[[int], None] = lambda _: None,
    rounding: Rounding = ROTATED,
) -> ir.Model:
    """Quantizes a model so that values by which it is compared keep their names.

    Args:
        model: The model; it is not changed.
        mode: How to quantize it.
        data: The calibration data.
        names: The values.
        advance: Called after each batch with its number of samples.
        rounding: How its weights are rounded.
    """
    watched = with_outputs(model, names)
    result = quantize(watched, mode, data, advance, rounding)
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
        choice = quantize_best(known, model, pair[0], runtime, advance=advance)
    made = Quantization(options.quantize, storage.mode, before, found.divergence, choice)
    return choice.model, made
