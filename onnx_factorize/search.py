"""Predict, then measure: candidate plans, the best of them by the divergence of unseen samples.

What is predicted is second order, and from few samples uncertain. So a few plans of different
origin are measured (see `trial`), and the best is improved by measured changes. The number of
measurements is bounded, not their time, so that a run repeats exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .trial import Trial
from .weighting import Metric, Weighting

__all__ = ["Candidate", "Found", "most_measurements", "search"]

Array = npt.NDArray[np.float64]
Allocate = Callable[[Mapping[str, Array], bool], dict[str, int]]

# Targets that are cut alone to compare measured with predicted loss.
_ALONE = 20

# Changes of the best plan that are measured.
_CHANGES = 8

# The predicted plan is left only for one that is better by more than chance.
_MARGIN = 0.97

# A single measurement moves a prediction by no more than this factor.
_TRUST = 4.0


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to choose factors and ranks.

    Attributes:
        name: As the report calls it.
        weighting: What gives the directions.
        metrics: Target name to the metric of its directions.
        losses: Target name to the loss at every rank.
        uniform: Whether all targets get the same share, whatever their losses.
        operators: View name to the name of its operator; those without an entry are one.
    """

    name: str
    weighting: Weighting
    metrics: Mapping[str, Metric]
    losses: Mapping[str, Array]
    uniform: bool = False
    operators: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def cuts(self, ranks: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """By operator what is cut of it: view name to rank; nothing where it stays dense."""
        found: dict[str, dict[str, int]] = {}
        for name, rank in ranks.items():
            if name in self.losses:
                cut = found.setdefault(self.operators.get(name, name), {})
                cut |= {name: rank} if rank else {}
        return found

    def loss(self, cut: Mapping[str, int]) -> float:
        """What is predicted for the cut of one operator."""
        return sum(float(self.losses[name][rank]) for name, rank in cut.items())

    def scaled(self, factors: Mapping[str, float], usual: float = 1.0) -> dict[str, Array]:
        """The losses, scaled by a factor for each operator."""
        return {
            name: factors.get(self.operators.get(name, name), usual) * loss
            for name, loss in self.losses.items()
        }


@dataclasses.dataclass(frozen=True)
class Found:
    """The outcome.

    Attributes:
        candidate: The best, with its losses as measurements corrected them.
        tried: Plan to measured divergence, in the order in which they were tried.
        divergence: Measured for the best.
    """

    candidate: Candidate
    tried: dict[str, float]
    divergence: float


def most_measurements(candidates: Sequence[Candidate]) -> int:
    """The candidates, the first one's targets alone, the plan that follows, and its changes."""
    return len(candidates) + min(_ALONE, len(candidates[0].losses)) + 1 + _CHANGES


def search(
    candidates: Sequence[Candidate],
    allocate: Allocate,
    trial: Trial,
    advance: Callable[[int], None] = lambda _: None,
) -> Found:
    """Chooses among candidates by measurement, and improves the best.

    Args:
        candidates: The first is the predicted one, preferred unless another is clearly better.
        allocate: From losses, and whether ranks are uniform, to ranks within the budget.
        trial: What measures.
        advance: Called after each measurement with 1.
    """
    seen: dict[tuple[str, tuple[tuple[str, int], ...]], float] = {}

    def measure(candidate: Candidate, ranks: Mapping[str, int]) -> float:
        directions = f"{candidate.weighting.name} {sorted(candidate.metrics.items(), key=str)}"
        key = directions, tuple(sorted(ranks.items()))
        if key not in seen:
            seen[key] = trial.measure(ranks, candidate.weighting, candidate.metrics)
        advance(1)
        return seen[key]

    best = candidates[0]
    ranks = allocate(best.losses, best.uniform)
    tried = {best.name: measure(best, ranks)}
    least = tried[best.name]

    rescaled = _rescaled(best, ranks, measure)
    for candidate in (rescaled, *candidates[1:]):
        plan = allocate(candidate.losses, candidate.uniform)
        tried[candidate.name] = measure(candidate, plan)
        if tried[candidate.name] < _MARGIN * least:
            best, ranks, least = candidate, plan, tried[candidate.name]

    if not best.uniform:
        for number in range(_CHANGES):
            changed = _changed(best, ranks, number)
            plan = allocate(changed.losses, changed.uniform)
            divergence = measure(changed, plan)
            if divergence < _MARGIN * least:
                best, ranks, least = changed, plan, divergence
                tried["changes of it"] = divergence
    return Found(best, tried, least)


def _rescaled(
    candidate: Candidate,
    ranks: Mapping[str, int],
    measure: Callable[[Candidate, Mapping[str, int]], float],
) -> Candidate:
    """Losses scaled by what each target's cut costs when it is measured alone."""
    planned = candidate.cuts(ranks)
    # Of what stays dense, a quarter of the full rank stands for a cut, in its first view.
    first: dict[str, str] = {}
    for name in ranks:
        if name in candidate.losses:
            first.setdefault(candidate.operators.get(name, name), name)
    cuts = {
        operator: cut or {first[operator]: len(candidate.losses[first[operator]]) // 4}
        for operator, cut in planned.items()
    }
    predicted = {operator: candidate.loss(cut) for operator, cut in cuts.items()}
    # What is cut counts most; of what stays dense, what would lose least is nearest to a cut.
    cut = sorted((n for n in predicted if planned[n]), key=lambda name: -predicted[name])
    dense = sorted((n for n in predicted if not planned[n]), key=lambda name: predicted[name])
    ratios = {}
    for name in [*cut, *dense][:_ALONE]:
        if predicted[name] > 0:
            ratio = measure(candidate, cuts[name]) / predicted[name]
            ratios[name] = float(np.clip(ratio, 1 / _TRUST, _TRUST))
    usual = float(np.exp(np.mean(np.log(list(ratios.values()))))) if ratios else 1.0
    losses = candidate.scaled(ratios, usual)
    return dataclasses.replace(candidate, name=f"{candidate.name}, rescaled", losses=losses)


def _changed(candidate: Candidate, ranks: Mapping[str, int], number: int) -> Candidate:
    """The candidate with one target's loss doubled or halved, those that lose most first."""
    loss = {name: candidate.loss(cut) for name, cut in candidate.cuts(ranks).items() if cut}
    order = sorted(loss, key=lambda name: -loss[name])
    if not order:
        return candidate
    name = order[number // 2 % len(order)]
    factor = 2.0 if number % 2 == 0 else 0.5
    return dataclasses.replace(candidate, losses=candidate.scaled({name: factor}))
