"""Candidates that follow from what was measured of a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ..arrays import Array
from .candidate import Candidate, MeasuredPlan

__all__ = ["ALONE", "changed", "rescaled"]

# Targets that are cut alone to compare measured with predicted loss.
ALONE = 20

# A single measurement moves a prediction by no more than this factor.
_TRUST = 4.0


def rescaled(
    first: MeasuredPlan,
    measure: Callable[[Candidate, Mapping[str, int]], float],
    most: int = ALONE,
) -> Candidate:
    """Losses scaled by what each target's cut costs when it is measured alone."""
    candidate, ranks = first.candidate, first.ranks
    planned = candidate.cuts(ranks)
    # Of what stays dense, a quarter of the full rank stands for a cut, in its first unfolding.
    unfoldings: dict[str, str] = {}
    for name in ranks:
        if name in candidate.losses:
            unfoldings.setdefault(candidate.operators.get(name, name), name)
    cuts = {
        operator: cut or {unfoldings[operator]: _quarter(candidate.losses[unfoldings[operator]])}
        for operator, cut in planned.items()
    }
    predicted = {operator: candidate.loss(cut) for operator, cut in cuts.items()}
    # What is cut counts most; of what stays dense, what would lose least is nearest to a cut.
    cut = sorted((n for n in predicted if planned[n]), key=lambda name: -predicted[name])
    dense = sorted((n for n in predicted if not planned[n]), key=lambda name: predicted[name])
    ratios, broken = {}, []
    for name in [*cut, *dense][:most]:
        if predicted[name] > 0:
            ratio = measure(candidate, cuts[name]) / predicted[name]
            if np.isfinite(ratio):
                ratios[name] = float(np.clip(ratio, 1 / _TRUST, _TRUST))
            else:
                broken.append(name)
    usual = float(np.exp(np.mean(np.log(list(ratios.values()))))) if ratios else 1.0
    losses = candidate.scaled(ratios, usual)
    rescaled = dataclasses.replace(candidate, name=f"{candidate.name}, rescaled", losses=losses)
    return rescaled.without(broken)


def _quarter(losses: Array) -> int:
    """A quarter of a full rank, but a cut: rank 0 would be none."""
    return max(1, (len(losses) - 1) // 4)


def changed(plan: MeasuredPlan, number: int) -> Candidate:
    """The candidate with one target's loss doubled or halved, those that lose most first."""
    order = plan.candidate.costliest(plan.ranks)
    if not order:
        return plan.candidate
    name = order[number // 2 % len(order)]
    factor = 2.0 if number % 2 == 0 else 0.5
    return dataclasses.replace(plan.candidate, losses=plan.candidate.scaled({name: factor}))
