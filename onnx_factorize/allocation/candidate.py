"""Losses by which factors and ranks are chosen, before ranks are allocated by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from ..arrays import Array
from ..factorization.moment_shrinkage import MomentShrinkage
from ..factorization.weighting import Weighting

__all__ = ["Candidate", "MeasuredPlan"]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to choose factors and ranks.

    Attributes:
        name: As the report calls it.
        weighting: What gives the directions.
        shrinkages: Target name to the shrinkage of the moments of its directions.
        losses: Target name to the loss at every rank.
        uniform: Whether all targets get the same share, whatever their losses.
        operators: Unfolding name to the name of its operator; those without an entry are one.
        forms: Operator to the only form that it may be cut in; others may be cut in any.
    """

    name: str
    weighting: Weighting
    shrinkages: Mapping[str, MomentShrinkage]
    losses: Mapping[str, Array]
    uniform: bool = False
    operators: Mapping[str, str] = dataclasses.field(default_factory=dict)
    forms: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def cuts(self, ranks: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """By operator what is cut of it: unfolding name to rank; nothing where it stays dense."""
        found: dict[str, dict[str, int]] = {}
        for name, rank in ranks.items():
            if name in self.losses:
                cut = found.setdefault(self.operators.get(name, name), {})
                cut |= {name: rank} if rank else {}
        return found

    def loss(self, cut: Mapping[str, int]) -> float:
        """The predicted loss of the cut of one operator."""
        return sum(float(self.losses[name][rank]) for name, rank in cut.items())

    def scaled(self, factors: Mapping[str, float], usual: float = 1.0) -> dict[str, Array]:
        """The losses, scaled by a factor for each operator."""
        return {
            name: factors.get(self.operators.get(name, name), usual) * loss
            for name, loss in self.losses.items()
        }

    def without(self, operators: Collection[str]) -> Candidate:
        """The same, of which some operators stay dense."""
        losses = {
            name: loss
            for name, loss in self.losses.items()
            if self.operators.get(name, name) not in operators
        }
        return dataclasses.replace(self, losses=losses)

    def costliest(self, ranks: Mapping[str, int]) -> list[str]:
        """The operators that are cut, those that lose most first."""
        loss = {name: self.loss(cut) for name, cut in self.cuts(ranks).items() if cut}
        return sorted(loss, key=lambda name: -loss[name])


@dataclasses.dataclass(frozen=True)
class MeasuredPlan:
    """A candidate, the ranks that it gets, and their divergence."""

    candidate: Candidate
    ranks: Mapping[str, int]
    divergence: float

    @property
    def predicted(self) -> float:
        """The divergence that its candidate predicts."""
        cuts = self.candidate.cuts(self.ranks)
        return sum(self.candidate.loss(cut) for cut in cuts.values())
