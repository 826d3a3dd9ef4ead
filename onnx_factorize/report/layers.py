"""The outcome for every linear operator, as reports list it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..allocation.analysis import Analysis
from ..allocation.channel_shares import ChannelShares
from ..allocation.channels import Channels
from ..allocation.forms import Cut, cut_of, cut_unfoldings, narrowed_cut
from ..allocation.model_costs import Costs
from ..allocation.plan import Plan
from ..curve import DENSE
from ..factorization.forms import form_that_cuts, unfoldings_of
from ..passes import Skipped, Target, title_of
from .report import Layer
from .sparse import thinned
from .warnings import never_ran

__all__ = ["layers_of"]

# Some ranks or indices, each with a number.
Line = list[tuple[int, float]]


def layers_of(
    targets: Sequence[Target],
    skipped: Sequence[Skipped],
    plan: Plan,
    costs: Costs,
    analysis: Analysis,
) -> list[Layer]:
    """The outcome for every linear operator."""
    layers = []
    channels = analysis.channels
    shares = channels.shares(plan.ranks)
    for target in targets:
        cut = cut_of(target, plan.ranks, 0)
        ms = _milliseconds(target, plan, costs)
        left = shares.get(target.operator) if cut.form is None else None
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
        if left is not None:
            cut = narrowed_cut(target, left)
            ms = ms and (ms[0], ms[0] * _time_left(target, left, plan, costs, channels))
            reason = None
        curve, spectrum = _lines(target, plan, analysis)
        for use in target.uses:
            first, own = use is target, costs.arithmetic.nodes.get(use.operator)
            layers.append(
                Layer(
                    use.operator,
                    use.op_type,
                    cut.form if first or cut.form is None else title_of(use),
                    cut.rank,
                    cut.full_rank if left is None else None,
                    (target.params, cut.params) if first else (0, 0),
                    None if own is None else (own, _macs(target, plan, own, left)),
                    _loss(target, plan, channels) if first else None,
                    _status(cut, left),
                    reason if first else f"shares the weight of '{target.name}'",
                    ms if first else None,
                    curve if first else None,
                    spectrum if first else None,
                    use.module,
                )
            )
    for skip in skipped:
        layer = Layer.skipped(skip)
        left = shares.get(skip.name)
        now = skip.params if left is None else round(skip.params * left.share)
        layers.append(dataclasses.replace(layer, params=(skip.params, now)))
    return layers


def _status(cut: Cut, left: ChannelShares | None) -> str:
    if left is not None:
        return "narrowed"
    return "kept" if cut.form is None else "factorized"


def _macs(target: Target, plan: Plan, dense: int, left: ChannelShares | None) -> int:
    """Multiplications of a target, of so many when dense."""
    if left is not None:
        return round(dense * left.share)
    return cut_of(target, plan.ranks, dense).macs


def _loss(target: Target, plan: Plan, channels: Channels) -> float | None:
    """The loss of a target's cut, with that of the channels that it is the first to compute."""
    own = plan.losses.get(target.operator)
    for narrowing in channels.chosen(plan.ranks):
        if narrowing.producers[0].operator == target.operator:
            own = (own or 0.0) + plan.losses.get(narrowing.name, 0.0)
    return own


def _lines(target: Target, plan: Plan, analysis: Analysis) -> tuple[Line | None, Line | None]:
    """The loss curve and the spectrum of a target, in the form that was taken."""
    unfolding = next(
        (unfolding for unfolding in unfoldings_of(target) if plan.ranks.get(unfolding.name)), target
    )
    rank = plan.ranks.get(unfolding.name, DENSE)
    losses, squares = (
        analysis.candidates[0].losses.get(unfolding.name),
        plan.squares.get(unfolding.name),
    )
    return (
        None if losses is None else thinned(losses, [rank]),
        None if squares is None else thinned(squares / (squares.sum() or 1.0), [rank - 1]),
    )


def _time_left(
    target: Target, left: ChannelShares, plan: Plan, costs: Costs, channels: Channels
) -> float:
    """The share of its latency that a narrowed operator still takes.

    It is that of its neighbours, which were timed together at some widths; else that of its
    multiplications.
    """
    share = 1.0
    for narrowing, width in channels.chosen(plan.ranks).items():
        around = {each.operator for each in (*narrowing.producers, *narrowing.readers)}
        if target.operator in around:
            curve = costs.channels.get(narrowing.name)
            if curve is None:
                return left.share
            share *= min(1.0, curve.of(width) / curve.dense)
    return share


def _milliseconds(target: Target, plan: Plan, costs: Costs) -> tuple[float, float] | None:
    """The latency of an operator alone, before and after; None where it was not timed."""
    own = costs.curves.get(target.name)
    if own is None:
        return None
    cut = cut_unfoldings(target, plan.ranks)
    if len(cut) > 1:
        curves = [costs.curves[unfolding.name] for unfolding in cut]
        ranks = [np.array([plan.ranks[unfolding.name]]) for unfolding in cut]
        return own.dense, float(form_that_cuts(cut).latency(cut, curves, ranks)[0])
    timed = [
        (v.name, costs.curves[v.name]) for v in unfoldings_of(target) if v.name in costs.curves
    ]
    saved = sum(curve.dense - curve.of(plan.ranks.get(name, 0)) for name, curve in timed)
    return own.dense, own.dense - saved
