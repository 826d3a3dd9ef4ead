"""Put together the report of a run from what its stages found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir

from ..allocation.calibrated import Calibrated
from ..allocation.model_costs import Costs
from ..allocation.plan import Plan
from ..calibration import CalibrationData
from ..evaluation import Agreement
from ..evaluation.stream import Stream
from ..finetune.training import Recovery
from ..options import Options
from ..quantization.stage import Quantization
from ..runtime.interleaved import Timing
from ..runtime.randomness import Randomness
from ..uncertainty import standard_error
from .channel_rows import channel_rows
from .graph_pieces import rewritten_piece
from .layers import layers_of
from .report import Report
from .samples import Reader, shown
from .warnings import hidden_weights, warnings_of

__all__ = ["Made", "summarize"]

# Held-out samples that are named.
_WORST = 8


@dataclasses.dataclass(frozen=True)
class Made:
    """A compressed model's making, and how the model does.

    Attributes:
        options: What was asked for, with the budget that was spent in the end.
        known: What was known before.
        plan: What was cut.
        costs: What the model costs.
        timing: Latencies of the dense model and of this one.
        holdout: How it does on samples that had no part in it.
        seen: How it does on some that had.
        stream: How it does along the data with states of its own; None where outputs feed nothing.
        guarantee: How a guarantee is kept; None without one.
        latency: How a budget of time was met; None without one.
        recovery: What became of training; None without any.
        quantization: How it was quantized, and what it was before; None where it was not.
        random: What the model draws; None where it draws nothing.
        metric: The user's own metric of both models; None without one.
        model: The compressed model.
    """

    options: Options
    known: Calibrated
    plan: Plan
    costs: Costs
    timing: Timing
    holdout: Agreement
    seen: Agreement
    stream: Stream | None = None
    guarantee: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    recovery: Recovery | None = None
    quantization: Quantization | None = None
    random: Randomness | None = None
    metric: dict[str, Any] | None = None
    model: ir.Model | None = None

    @property
    def factorized(self) -> float:
        """The divergence of what is predicted: what the factors lose, not what fewer bits do."""
        quantization = self.quantization
        return self.holdout.divergence if quantization is None else quantization.divergence

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user, one sentence each."""
        known, recovery = self.known, self.recovery
        elsewhere = bool(self.options.runtime.latency_profile)
        said = warnings_of(
            known.targets,
            known.analysis,
            known.data,
            self.plan,
            self.factorized,
            None if elsewhere else self.timing.ratio(),
            None if recovery is None else recovery.untrained,
        )
        said += hidden_weights(known.skipped, known.costs.params)
        said += known.hints
        if self.random is not None and self.random.warning is not None:
            said.append(self.random.warning)
        return said


def summarize(made: Made, seconds: dict[str, float]) -> Report:
    """The report of a run, whose stages took so many seconds."""
    known, holdout, data = made.known, made.holdout, made.known.data
    recovery, quantization, random, stream = (
        made.recovery, made.quantization, made.random, made.stream,
    )  # fmt: skip
    dense, compressed = (
        costs.figures(time)
        for costs, time in zip((known.costs, made.costs), made.timing.medians, strict=True)
    )
    found = known.analysis.channels
    layers = layers_of(known.targets, known.skipped, made.plan, known.costs, known.analysis)
    piece = None if made.model is None else rewritten_piece(known.dense, made.model, layers)
    return Report(
        command=made.options.as_dict(),
        model={"dense": dense, "compressed": compressed},
        divergence={
            **_predicted(made),
            "calibration": made.seen.divergence,
            "holdout": holdout.divergence,
            "holdout_error": standard_error(holdout.by_sample),
            "calibration_error": standard_error(made.seen.by_sample),
            "outputs": _outputs(holdout, made.seen),
            "worst": _worst(holdout, data, Reader(made.options.texts.tokenizer)),
        },
        layers=layers,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        warnings=made.warnings,
        accuracy=(
            {"dense": holdout.accuracy[0], "compressed": holdout.accuracy[1]}
            if holdout.accuracy
            else None
        ),
        finetune=None if recovery is None else dataclasses.asdict(recovery),
        quantization=None if quantization is None else quantization.as_dict(),
        samples={"calibration": data.calibration_samples, "holdout": data.holdout_samples},
        promise=made.guarantee,
        latency=made.latency,
        timing=made.timing.ratio().as_dict(),
        subnormals=None if known.subnormals is None else known.subnormals.as_dict(),
        random=None if random is None else random.as_dict(),
        data=data.as_dict(),
        stream=None if stream is None else stream.as_dict(),
        selection=None if known.selected is None else known.selected.as_dict(),
        caches=None if known.caches is None else known.caches.as_dict(),
        metric=made.metric,
        rewritten=piece,
        channels=channel_rows(found.narrowings, found.refused, made.plan.ranks, made.plan.losses),
    )


def _predicted(made: Made) -> dict[str, Any]:
    """The divergence by the plan, where its losses are in nats."""
    plan = made.plan if made.known.analysis.weighting.unit == "nats" else None
    return {
        "predicted": None if plan is None else plan.predicted,
        "second_order": None if plan is None else plan.second_order,
        "loss_unit": "relative" if plan is None else "nats",
        "ratio": None if plan is None else _ratio(made.factorized, plan.predicted),
        "plan": None if plan is None else plan.origin,
        "tried": {} if plan is None else plan.tried,
        "refit": None if plan is None else plan.refit,
        "ended": made.plan.ended,
    }


def _outputs(holdout: Agreement, seen: Agreement) -> dict[str, Any]:
    """The figures of each output."""
    return {
        name: {
            "kind": output.kind,
            "because": output.because,
            "guess": output.guess,
            "holdout": output.divergence,
            "calibration": seen.outputs[name].divergence,
            "agreement": output.agreement,
            "parts": output.parts,
            "remark": output.remark or None,
        }
        for name, output in holdout.outputs.items()
    }


def _worst(holdout: Agreement, data: CalibrationData, reader: Reader) -> list[dict[str, Any]]:
    """The held-out samples that diverge most."""
    if holdout.by_sample is None:
        return []
    order = np.argsort(-holdout.by_sample, kind="stable")[:_WORST]
    return [
        {
            "sample": data.origin_of("holdout", int(index)),
            "divergence": float(holdout.by_sample[index]),
            **shown(data, int(index), reader),
        }
        for index in order
        if holdout.by_sample[index] > 0
    ]


def _ratio(measured: float, predicted: float) -> float | None:
    return measured / predicted if predicted > 0 else None
