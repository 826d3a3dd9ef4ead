"""Put together the report of a run from what its stages found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .allocation import DENSE
from .analysis import Analysis
from .calibration import CalibrationData
from .costs import Costs
from .passes import Skipped, Target
from .plan import Plan
from .report import Layer, Report
from .verify import Agreement

__all__ = ["FORMS", "layers_of", "summarize", "warnings_of"]

# How each operator is rewritten.
FORMS = {
    "Conv": "channel",
    "ConvTranspose": "input channel",
    "Einsum": "two Einsums",
    "FusedConv": "channel",
    "FusedGemm": "two Gemms",
    "FusedMatMul": "two MatMuls",
    "Gemm": "two Gemms",
    "MatMul": "two MatMuls",
}


# Predicted and measured divergence further apart are worth a warning, unless both are nothing.
_ALARM = 4.0
_NEGLIGIBLE = 1e-3


def summarize(
    command: dict[str, Any],
    plan: Plan | None,
    costs: tuple[Costs, Costs],
    latency_ms: tuple[float, float],
    holdout: Agreement,
    calibration: Agreement,
    layers: list[Layer],
    data: CalibrationData,
    seconds: dict[str, float],
    warnings: list[str],
    promise: dict[str, Any] | None = None,
    latency: dict[str, Any] | None = None,
) -> Report:
    """The report of a run."""
    dense, compressed = (c.figures(t) for c, t in zip(costs, latency_ms, strict=True))
    return Report(
        command=command,
        model={"dense": dense, "compressed": compressed},
        divergence={
            "predicted": None if plan is None else plan.predicted,
            "second_order": None if plan is None else plan.second_order,
            "ratio": None if plan is None else _ratio(holdout.divergence, plan.predicted),
            "plan": None if plan is None else plan.origin,
            "tried": {} if plan is None else plan.tried,
            "refit": None if plan is None else plan.refit,
            "calibration": calibration.divergence,
            "holdout": holdout.divergence,
            "outputs": {
                name: {
                    "kind": output.kind,
                    "holdout": output.divergence,
                    "calibration": calibration.outputs[name].divergence,
                    "agreement": output.agreement,
                }
                for name, output in holdout.outputs.items()
            },
        },
        layers=layers,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        warnings=warnings,
        accuracy=(
            {"dense": holdout.accuracy[0], "compressed": holdout.accuracy[1]}
            if holdout.accuracy
            else None
        ),
        samples={"calibration": data.calibration_samples, "holdout": data.holdout_samples},
        promise=promise,
        latency=latency,
    )


def _ratio(measured: float, predicted: float) -> float | None:
    return measured / predicted if predicted > 0 else None


def layers_of(
    targets: Sequence[Target],
    skipped: Sequence[Skipped],
    plan: Plan,
    costs: Costs,
    analysis: Analysis,
) -> list[Layer]:
    """What became of every linear operator."""
    layers = []
    for target in targets:
        rank = plan.ranks[target.name]
        dense_macs = costs.arithmetic.nodes.get(target.name)
        curve = costs.curves.get(target.name)
        params = target.params if rank == DENSE else target.factor_params(rank)
        reason = None
        if rank == DENSE:
            reason = (
                "never ran on the calibration data"
                if target.name in analysis.never_ran
                else "costs more to cut than the budget gains"
            )
        layers.append(
            Layer(
                target.name,
                target.op_type,
                None if rank == DENSE else FORMS[target.op_type],
                None if rank == DENSE else rank,
                target.full_rank,
                (target.params, params),
                None if dense_macs is None else (dense_macs, dense_macs * params // target.params),
                plan.losses[target.name],
                "kept" if rank == DENSE else "factorized",
                reason,
                None if curve is None else (curve.dense, curve.of(rank)),
            )
        )
    layers += [Layer.skipped(s.name, s.op_type, s.params, s.reason) for s in skipped]
    return layers


def warnings_of(
    targets: Sequence[Target],
    analysis: Analysis,
    data: CalibrationData,
    plan: Plan,
    measured: float,
) -> list[str]:
    """What the user should know about the data, one sentence each."""
    warnings = []
    statistics, never_ran = analysis.statistics, analysis.never_ran
    if data.shares_holdout:
        warnings.append(
            "No samples were held out, so the result was verified on what it was calibrated on; "
            "give at least two samples and a --holdout above 0."
        )
    starved = {
        target.name: target.width / statistics[target.name].signal.count
        for target in targets
        if target.name in statistics and 0 < statistics[target.name].signal.count < target.width
    }
    if starved:
        worst = max(starved, key=lambda name: starved[name])
        wanted = round(10 * starved[worst] * data.calibration_samples)
        warnings.append(
            f"{data.calibration_samples} calibration samples are too few for {len(starved)} of "
            f"{len(targets)} targets (the worst is '{worst}'); about {wanted} would do."
        )
    if analysis.unreachable:
        name, reason = next(iter(analysis.unreachable.items()))
        warnings.append(
            f"{len(analysis.unreachable)} targets have no gradient, and are weighted "
            f"{analysis.instead}; the first is '{name}': {reason}."
        )
    if plan.trial and not 1 / _ALARM < measured / plan.trial < _ALARM and plan.trial > _NEGLIGIBLE:
        other = (
            "if the data hold many samples of few things, expect the former of new ones"
            if measured < plan.trial
            else "more calibration samples would help"
        )
        warnings.append(
            f"Samples unlike those that made the factors diverge by {plan.trial:.2g}, held-out "
            f"ones by {measured:.2g}: {other}."
        )
    if never_ran:
        warnings.append(
            f"{len(never_ran)} targets stayed dense because the calibration data never ran them: "
            f"{', '.join(sorted(never_ran)[:3])}{' …' if len(never_ran) > 3 else ''}."
        )
    return warnings
