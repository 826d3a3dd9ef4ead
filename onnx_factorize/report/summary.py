"""Put together the report of a run from what its stages found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..allocation.analysis import Analysis
from ..allocation.costs import Costs
from ..allocation.forms import cut_of, cut_views
from ..allocation.plan import Plan
from ..calibration import CalibrationData
from ..curve import DENSE
from ..evaluation import Agreement
from ..evaluation.stream import Stream
from ..factorization.forms import form_that_cuts, views_of
from ..finetune.training import Recovery
from ..outputs.selection import Selected
from ..passes import Skipped, Target, title_of
from ..preparation.subnormals import Subnormals
from ..quantization.stage import Quantization
from ..runtime.interleaved import Timing
from ..runtime.randomness import Randomness
from .report import Layer, Report
from .sparse import thinned
from .warnings import never_ran

Line = list[tuple[int, float]]

__all__ = ["layers_of", "summarize"]

# Held-out samples that are named.
_WORST = 8


def summarize(
    command: dict[str, Any],
    plan: Plan | None,
    costs: tuple[Costs, Costs],
    timing: Timing,
    holdout: Agreement,
    calibration: Agreement,
    layers: list[Layer],
    data: CalibrationData,
    seconds: dict[str, float],
    warnings: list[str],
    recovery: Recovery | None = None,
    promise: dict[str, Any] | None = None,
    latency: dict[str, Any] | None = None,
    quantization: Quantization | None = None,
    subnormals: Subnormals | None = None,
    random: Randomness | None = None,
    stream: Stream | None = None,
    selected: Selected | None = None,
) -> Report:
    """The report of a run."""
    if random is not None and random.warning is not None:
        warnings = [*warnings, random.warning]
    dense, compressed = (c.figures(t) for c, t in zip(costs, timing.medians, strict=True))
    # What is predicted is what the factors lose, not what fewer bits do.
    factorized = holdout.divergence if quantization is None else quantization.divergence
    return Report(
        command=command,
        model={"dense": dense, "compressed": compressed},
        divergence={
            "predicted": None if plan is None else plan.predicted,
            "second_order": None if plan is None else plan.second_order,
            "loss_unit": "relative" if plan is None else "nats",
            "ratio": None if plan is None else _ratio(factorized, plan.predicted),
            "plan": None if plan is None else plan.origin,
            "tried": {} if plan is None else plan.tried,
            "refit": None if plan is None else plan.refit,
            "calibration": calibration.divergence,
            "holdout": holdout.divergence,
            "outputs": {
                name: {
                    "kind": output.kind,
                    "because": output.because,
                    "guess": output.guess,
                    "holdout": output.divergence,
                    "calibration": calibration.outputs[name].divergence,
                    "agreement": output.agreement,
                    "parts": output.parts,
                    "remark": output.remark or None,
                }
                for name, output in holdout.outputs.items()
            },
            "worst": _worst(holdout, data),
        },
        layers=layers,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        warnings=warnings,
        accuracy=(
            {"dense": holdout.accuracy[0], "compressed": holdout.accuracy[1]}
            if holdout.accuracy
            else None
        ),
        finetune=None if recovery is None else dataclasses.asdict(recovery),
        quantization=None if quantization is None else quantization.as_dict(),
        samples={"calibration": data.calibration_samples, "holdout": data.holdout_samples},
        promise=promise,
        latency=latency,
        timing=timing.ratio().as_dict(),
        subnormals=None if subnormals is None else subnormals.as_dict(),
        random=None if random is None else dataclasses.asdict(random),
        data=data.as_dict(),
        stream=None if stream is None else stream.as_dict(),
        selection=None if selected is None else selected.as_dict(),
    )


def _worst(holdout: Agreement, data: CalibrationData) -> list[dict[str, Any]]:
    """The held-out samples that diverge most."""
    if holdout.by_sample is None:
        return []
    order = np.argsort(-holdout.by_sample, kind="stable")[:_WORST]
    return [
        {
            "sample": data.origin_of("holdout", int(index)),
            "divergence": float(holdout.by_sample[index]),
        }
        for index in order
        if holdout.by_sample[index] > 0
    ]


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
        cut = cut_of(target, plan.ranks, 0)
        ms = _milliseconds(target, plan, costs)
        reason = cut.note
        if cut.form is None:
            reason = "costs more to cut than the budget gains"
            if target.name in analysis.never_ran:
                reason = never_ran(target, analysis)
            if target.operator in analysis.broken:
                reason = f"a cut of it makes {analysis.broken[target.operator]}"
        if target.name in analysis.unreachable and target.name not in analysis.never_ran:
            blind = f"weighted {analysis.weighting.instead}: {analysis.unreachable[target.name]}"
            reason = f"{reason}; {blind}" if reason else blind
        curve, spectrum = _lines(target, plan, analysis)
        for use in target.uses:
            first, own = use is target, costs.arithmetic.nodes.get(use.operator)
            layers.append(
                Layer(
                    use.operator,
                    use.op_type,
                    cut.form if first or cut.form is None else title_of(use),
                    cut.rank,
                    cut.full_rank,
                    (target.params, cut.params) if first else (0, 0),
                    None if own is None else (own, cut_of(target, plan.ranks, own).macs),
                    plan.losses.get(target.operator) if first else None,
                    "kept" if cut.form is None else "factorized",
                    reason if first else f"shares the weight of '{target.name}'",
                    ms if first else None,
                    curve if first else None,
                    spectrum if first else None,
                )
            )
    layers += [Layer.skipped(s.name, s.op_type, s.params, s.reason) for s in skipped]
    return layers


def _lines(target: Target, plan: Plan, analysis: Analysis) -> tuple[Line | None, Line | None]:
    """The loss curve and the spectrum of a target, in the form that was taken."""
    view = next((view for view in views_of(target) if plan.ranks.get(view.name)), target)
    rank = plan.ranks.get(view.name, DENSE)
    losses, squares = analysis.candidates[0].losses.get(view.name), plan.squares.get(view.name)
    return (
        None if losses is None else thinned(losses, [rank]),
        None if squares is None else thinned(squares / (squares.sum() or 1.0), [rank - 1]),
    )


def _milliseconds(target: Target, plan: Plan, costs: Costs) -> tuple[float, float] | None:
    """The latency of an operator alone, before and after; None where it was not timed."""
    own = costs.curves.get(target.name)
    if own is None:
        return None
    cut = cut_views(target, plan.ranks)
    if len(cut) > 1:
        curves = [costs.curves[view.name] for view in cut]
        ranks = [np.array([plan.ranks[view.name]]) for view in cut]
        return own.dense, float(form_that_cuts(cut).latency(cut, curves, ranks)[0])
    timed = [(v.name, costs.curves[v.name]) for v in views_of(target) if v.name in costs.curves]
    saved = sum(curve.dense - curve.of(plan.ranks.get(name, 0)) for name, curve in timed)
    return own.dense, own.dense - saved
