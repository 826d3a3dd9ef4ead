"""Budgets of measured time: milliseconds of operators predict, the whole model is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..allocation.channel_prices import ChannelPrices
from ..allocation.model_costs import Costs
from ..allocation.plan import Plan
from ..arrays import Array
from ..curve import DENSE, Curve
from ..errors import BudgetError
from ..options import Budget
from ..runtime.latency_profile import LatencyProfile

__all__ = ["Met", "compress_by_profile", "compress_in_time", "savings"]

# A measured latency meets what was asked within this much: less is noise. Where the first model is
# further off than the second figure, to either side, the prediction is corrected.
_MET, _CLOSE = 1.05, 0.03

# Models that are made at most, and at most where none of them meets the budget.
_MOST, _MOST_MISSED = 3, 5

# How far measured savings are off the best prediction, as a share of the dense model's latency, and
# how far what is saved is off what operators save alone, as a factor: standard deviations.
_NOISE, _USUAL = 0.02, 0.5

# What is saved of what operators save alone, at least and at most.
_LEAST_GAIN, _MOST_GAIN = 0.1, 4.0


@dataclasses.dataclass(frozen=True)
class Met:
    """The latency that met a budget of time; all as shares of the dense model's.

    Attributes:
        asked: The budget.
        predicted: For the model that was taken, from the latency of its operators.
        measured: The same, end to end; None where that is to be measured on another device.
        tried: Predicted and measured, of each model that was made.
        saved: What cuts, and fewer channels, save by the latency of operators alone.
    """

    asked: float
    predicted: float
    measured: float | None
    tried: list[tuple[float, float]]
    saved: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """The section `latency` of the report."""
        tried = [{"predicted": p, "measured": m} for p, m in self.tried]
        return {**dataclasses.asdict(self), "tried": tried, "saved": list(self.saved)}


@dataclasses.dataclass(frozen=True)
class _Made:
    """A model that was made.

    Attributes:
        model: The model.
        plan: What was cut and narrowed.
        saved: The latency that it is predicted to save by cuts, and by fewer channels, from that of
            operators and their neighbours, as shares of the dense model's.
        measured: Its latency, likewise.
    """

    model: ir.Model
    plan: Plan
    saved: Array
    measured: float

    @property
    def hoped(self) -> float:
        """The latency that was predicted."""
        return float(1 - self.saved.sum())


def savings(costs: Costs, plan: Plan, prices: ChannelPrices) -> Array:
    """What a plan saves by cuts, and by fewer channels, as shares of the dense model's latency.

    Args:
        costs: What the dense model costs, with the latencies of operators.
        plan: The plan.
        prices: What the channels take that may be narrowed.
    """
    assert costs.latency_ms is not None
    cuts = sum(
        curve.dense - curve.of(plan.ranks.get(name, DENSE)) for name, curve in costs.curves.items()
    )
    return np.array([cuts, -prices.change(prices.shares(plan.ranks))]) / costs.latency_ms


def compress_in_time(
    budget: Budget,
    compress: Callable[[Budget, Costs], tuple[ir.Model, Plan]],
    measure: Callable[[ir.Model], float],
    costs: Costs,
    prices: ChannelPrices,
    *,
    best_effort: bool = False,
) -> tuple[ir.Model, Plan, Met]:
    """A model that meets a budget of time as measured end to end, after a few corrections.

    In a model, operators find their data in other caches than alone, and are fused with their
    neighbours. What that makes of the time saved by cuts, and by fewer channels, is taken from the
    models made so far; what each costs is scaled by it, and allocated anew.

    Args:
        budget: The budget, of kind `latency`.
        compress: Makes a model of which the given latency is predicted by such costs, or that which
            is predicted to be the fastest if there is none.
        measure: The latency of a model as a share of the dense model's.
        costs: What the dense model costs, with the latency of its targets.
        prices: What the channels take that may be narrowed.
        best_effort: Take the fastest if the budget cannot be met.

    Raises:
        BudgetError: It cannot be met.
    """
    assert costs.latency_ms is not None
    asked = budget.limit(costs.latency_ms) / costs.latency_ms
    made: list[_Made] = []
    share, known = min(asked, 1.0), costs
    while True:
        model, plan = compress(Budget("latency", share), known)
        last = _Made(model, plan, savings(costs, plan, prices), measure(model))
        repeated = any(plan.ranks == each.plan.ranks for each in made)
        made.append(last)
        fine = [each for each in made if each.measured <= _MET * asked]
        close = asked >= 1 or abs(last.measured / asked - 1) <= _CLOSE
        if close or repeated or len(made) >= (_MOST if fine else _MOST_MISSED):
            break
        gains = _gains([each.saved for each in made], [each.measured for each in made])
        known = _scaled(costs, *gains)
        # What is off beyond that is taken to be off again.
        off = last.measured - (1 - float(gains @ last.saved))
        share = float(np.clip(asked - off, 0.01, 0.999))
    if not fine and not best_effort:
        raise BudgetError(_missed(budget, min(each.measured for each in made)))
    # Of models that are fast enough that which loses least; of the others the fastest.
    best = (
        min(fine, key=lambda each: (each.plan.predicted, -each.hoped))
        if fine
        else min(made, key=lambda each: each.measured)
    )
    tried = [(each.hoped, each.measured) for each in made]
    met = Met(asked, best.hoped, best.measured, tried, _pair(best.saved))
    return best.model, best.plan, met


def compress_by_profile(
    budget: Budget,
    compress: Callable[[Budget, Costs], tuple[ir.Model, Plan]],
    costs: Costs,
    prices: ChannelPrices,
    profile: LatencyProfile,
    *,
    best_effort: bool = False,
) -> tuple[ir.Model, Plan, Met]:
    """A model that meets a budget of time of another device, as far as its profile tells.

    What models that were checked on the device saved there, of what was predicted of them, is taken
    to be saved again.

    Args:
        budget: As for `compress_in_time`, and so are `compress`, `costs` and `prices`.
        compress: See there.
        costs: See there.
        prices: See there.
        profile: What the device takes.
        best_effort: Take the fastest if the budget cannot be met.

    Raises:
        BudgetError: It cannot be met.
    """
    assert costs.latency_ms is not None
    asked = budget.limit(costs.latency_ms) / costs.latency_ms
    gains, off, known, checked = np.ones(2), 0.0, costs, profile.checked
    if checked:
        gains = _gains([np.array(each.saved) for each in checked], [c.measured for c in checked])
        known = _scaled(costs, *gains)
        nearest = min(checked, key=lambda each: abs(each.measured - asked))
        off = nearest.measured - (1 - float(gains @ np.array(nearest.saved)))
    share = float(np.clip(min(asked, 1.0) - off, 0.01, 1.0))
    model, plan = compress(Budget("latency", share), known)
    saved = savings(costs, plan, prices)
    predicted = 1 - float(gains @ saved) + off
    if predicted > _MET * asked and not best_effort:
        raise BudgetError(_missed(budget, predicted, f"on {profile.said}", "is predicted to take"))
    tried = [(1 - sum(each.saved), each.measured) for each in checked]
    return model, plan, Met(asked, predicted, None, tried, _pair(saved))


def _pair(saved: Array) -> tuple[float, float]:
    cuts, channels = saved
    return float(cuts), float(channels)


def _gains(saved: Sequence[Array], measured: Sequence[float]) -> Array:
    """What is measured of the time that cuts save, and fewer channels, of what was predicted.

    The least squares, beside what is usual: one model alone does not tell the two apart.

    Args:
        saved: What was predicted of each model, as shares of the dense model's latency.
        measured: The latency of each, likewise.
    """
    hoped = np.array(saved)
    over = 1 - np.array(measured) - hoped.sum(1)
    normal = hoped.T @ hoped / _NOISE**2 + np.eye(2) / _USUAL**2
    gains = 1 + np.linalg.solve(normal, hoped.T @ over / _NOISE**2)
    clipped: Array = np.clip(gains, _LEAST_GAIN, _MOST_GAIN)
    return clipped


def _scaled(costs: Costs, cuts: float, channels: float) -> Costs:
    """The costs where cuts, and fewer channels, save so many times as much time."""

    def scaled(curve: Curve, gain: float) -> Curve:
        # Less than nothing, perhaps: what counts is what is saved.
        times = curve.dense - gain * (curve.dense - np.array(curve.times))
        return dataclasses.replace(curve, times=tuple(times.tolist()))

    return dataclasses.replace(
        costs,
        curves={name: scaled(curve, cuts) for name, curve in costs.curves.items()},
        channels={name: scaled(curve, channels) for name, curve in costs.channels.items()},
    )


def _missed(
    budget: Budget, best: float, where: str = "on this machine", takes: str = "takes"
) -> str:
    return (
        f"The budget {budget} cannot be met {where}: the fastest model that was made {takes} "
        f"{best:.3f} of the dense model's time; raise the budget, or add --best-effort to come as "
        "close as possible."
    )
