"""Budgets of measured time: milliseconds of operators predict, the whole model is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from ..allocation.candidates import automatic_multiple, smaller_ranks
from ..allocation.channels import Channels
from ..allocation.identity_blocks import as_pairs
from ..allocation.model_costs import Costs
from ..allocation.plan import Plan
from ..curve import DENSE
from ..errors import BudgetError
from ..factorization.forms import form_that_cuts, unfoldings_of
from ..options import Budget, Options
from ..passes import Target
from ..progress import Progress
from ..runtime.latency_cache import LatencyCache
from ..runtime.latency_curve import Timer, measure_curves, time_models
from ..runtime.runtimes import runtime_of

__all__ = ["Met", "compress_in_time", "predicted", "timed_costs", "timed_targets"]

# A measured latency meets what was asked within this much: less is noise. Where the first model is
# further off than the second figure, to either side, the prediction is corrected.
_MET, _CLOSE = 1.05, 0.03

# Models that are made at most: the first, and two corrections.
_MOST = 3


@dataclasses.dataclass(frozen=True)
class Met:
    """The latency that met a budget of time; all as shares of the dense model's.

    Attributes:
        asked: The budget.
        predicted: For the model that was taken, from the latency of its operators.
        measured: The same, end to end.
        tried: Predicted and measured, of each model that was made.
    """

    asked: float
    predicted: float
    measured: float
    tried: list[tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """The section `latency` of the report."""
        tried = [{"predicted": p, "measured": m} for p, m in self.tried]
        return {**dataclasses.asdict(self), "tried": tried}


def timed_costs(
    costs: Costs,
    samples: int,
    normal: ir.Model,
    targets: list[Target],
    options: Options,
    progress: Progress,
    timer: Timer | None = None,
    cache: LatencyCache | None = None,
) -> Costs:
    """Costs with the latency of every target, in every unfolding, at every rank.

    Args:
        costs: What else the dense model costs, with its latency of a sample.
        samples: Samples of the feed whose shapes the operators are timed in.
        normal: The normalised model.
        targets: Its targets.
        options: How it runs, and how ranks are rounded.
        progress: What is told how far the run is.
        timer: What measures; onnxruntime by default.
        cache: What was measured before; the user's by default.
    """
    all_params = sum(target.params for target in targets)
    unfoldings = [unfolding for target in targets for unfolding in unfoldings_of(target)]
    forms = {unfolding.name: form_that_cuts([unfolding]) for unfolding in unfoldings}
    ranks = {
        v.name: smaller_ranks(
            v, options.rank_multiple or automatic_multiple(v, all_params), forms[v.name]
        )
        for v in unfoldings
    }
    with progress.stage("time operators", len(unfoldings)) as advance:
        curves = measure_curves(
            normal,
            unfoldings,
            costs.arithmetic.shapes,
            ranks,
            cache or LatencyCache(runtime_of(options.runtime)),
            timer or time_models,
            advance,
            {name: form.chain for name, form in forms.items() if form.chain is not None},
        )
    shared = {name: curve.shared(samples) for name, curve in curves.items()}
    return dataclasses.replace(costs, curves=shared)


def timed_targets(
    timed: Callable[[list[Target]], Costs], targets: list[Target], options: Options
) -> tuple[list[Target], Costs]:
    """The targets with their latencies, as identity blocks only where those are no slower.

    Both lose the same at a rank, and pairs are measured beside blocks where the choice is free.

    Args:
        timed: The costs with the latencies of some targets.
        targets: The targets, marked where an identity block can be.
        options: Whether it is free.
    """
    costs = timed(targets)
    names = {t.operator for t in targets if any(each.identity for each in unfoldings_of(t))}
    if options.factors != "auto" or not names:
        return targets, costs
    pairs = as_pairs(targets, names)
    plain = timed([target for target in pairs if target.operator in names])
    slower = {
        target.operator
        for target in targets
        if target.operator in names and _slower(target, costs, plain)
    }
    curves = {
        unfolding.name: plain.curves[unfolding.name]
        for target in targets
        if target.operator in slower
        for unfolding in unfoldings_of(target)
        if unfolding.name in plain.curves
    }
    return as_pairs(targets, slower), dataclasses.replace(costs, curves={**costs.curves, **curves})


def _slower(target: Target, block: Costs, pair: Costs) -> bool:
    """Tells whether an operator is slower as identity blocks than as pairs, at equal ranks."""
    ratios = []
    for unfolding in unfoldings_of(target):
        own, other = (costs.curves.get(unfolding.name) for costs in (block, pair))
        if unfolding.identity and own is not None and other is not None and other.ranks:
            ranks = np.array(other.ranks)
            ratios.append(np.log(own.at(ranks) / other.at(ranks)).mean())
    return bool(ratios) and float(np.mean(ratios)) > 0


def predicted(costs: Costs, plan: Plan, channels: Channels) -> float:
    """The latency of a plan as a share of the dense model's, from that of its operators.

    That of one that is narrowed falls with its weights.
    """
    assert costs.latency_ms is not None
    saved = sum(
        curve.dense - curve.of(plan.ranks.get(name, DENSE)) for name, curve in costs.curves.items()
    )
    for operator, left in channels.shares(plan.ranks).items():
        if operator in costs.curves:
            saved += costs.curves[operator].dense * (1 - left.share)
    return 1 - saved / costs.latency_ms


def compress_in_time(
    budget: Budget,
    compress: Callable[[Budget], tuple[ir.Model, Plan]],
    measure: Callable[[ir.Model], float],
    costs: Costs,
    channels: Channels,
    *,
    best_effort: bool = False,
) -> tuple[ir.Model, Plan, Met]:
    """A model that meets a budget of time as measured end to end, after two corrections at most.

    In a model, operators find their data in other caches than alone, and are fused with their
    neighbours; what that makes of the saved time is taken from the models made so far.

    Args:
        budget: The budget, of kind `latency`.
        compress: Makes a model of which the given latency is predicted, or that which is
            predicted to be the fastest if there is none.
        measure: The latency of a model as a share of the dense model's.
        costs: What the dense model costs, with the latency of its targets.
        channels: The channels that may be narrowed.
        best_effort: Take the fastest if the budget cannot be met.

    Raises:
        BudgetError: It cannot be met.
    """
    assert costs.latency_ms is not None
    asked = budget.limit(costs.latency_ms) / costs.latency_ms
    made: list[tuple[ir.Model, Plan, float, float]] = []

    def make(share: float) -> None:
        model, plan = compress(Budget("latency", share))
        made.append((model, plan, predicted(costs, plan, channels), measure(model)))

    share = min(asked, 1.0)
    while len(made) < _MOST:
        make(share)
        points = [(hoped, measured) for _, _, hoped, measured in made]
        repeated = points[-1][0] in [hoped for hoped, _ in points[:-1]]
        if asked >= 1 or repeated or abs(points[-1][1] / asked - 1) <= _CLOSE:
            break
        share = _corrected(asked, points)
    fine = [each for each in made if each[3] <= _MET * asked]
    if not fine and not best_effort:
        raise BudgetError(_missed(budget, min(each[3] for each in made)))
    # Of models that are fast enough the slowest is the best; of the others the fastest.
    model, plan, hoped, measured = (
        max(fine, key=lambda each: each[2]) if fine else min(made, key=lambda each: each[3])
    )
    return model, plan, Met(asked, hoped, measured, [each[2:] for each in made])


def _corrected(asked: float, points: list[tuple[float, float]]) -> float:
    """Corrects what to ask of the prediction, on the line through predicted and measured.

    Below all that was measured it goes on with what a model saved of what was hoped.
    """
    hoped, measured = np.array(sorted(points, key=lambda point: point[1])).T
    if asked >= measured[0]:
        share = np.interp(asked, [*measured, 1.0], [*hoped, 1.0])
    else:
        gain = max((1 - measured[0]) / max(1 - hoped[0], 1e-9), 0.1)
        share = 1 - (1 - asked) / gain
    return float(np.clip(share, 0.01, 0.999))


def _missed(budget: Budget, best: float) -> str:
    return (
        f"The budget {budget} cannot be met on this machine: the fastest model that was made takes "
        f"{best:.3f} of the dense model's time; raise the budget, or add --best-effort to come as "
        "close as possible."
    )
