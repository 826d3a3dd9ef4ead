"""Iterative singular value thresholding around any optimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .multiplier import cost_at, find_multiplier, weight_of
from .schedule import Schedule
from .shrinkage import Shrinkage, get_shrinkage
from .svt_target import SVTTarget
from .whitening import Decomposition

__all__ = ["SVT", "Record"]


@dataclasses.dataclass(frozen=True)
class Record:
    """What one proximal step did.

    Attributes:
        step: Optimizer steps before it.
        multiplier: Loss accepted for one unit of cost.
        cost: What all targets cost afterwards, each at the better of factors and dense.
        penalty: The penalty afterwards, with each target's weight of this step.
        ranks: Rank of each target.
        change: How far each target's kept subspace turned since the last step, from 0 to 1, in
            whitened coordinates.
    """

    step: int
    multiplier: float
    cost: float
    penalty: float
    ranks: dict[str, int]
    change: dict[str, float]


class SVT:
    """Wraps an optimizer, and applies the proximal map of a rank penalty every k steps.

    The map is exact in the whitened metric: it minimises ½ ‖A^½ (Z - W) G^½‖² + t Σ p(sigma(Z)).

    With a `schedule` the weights of the penalty follow the cost that is allowed: they are the
    smallest that bring all targets down to it, by one multiplier, so that ranks move between
    targets while they are trained. Full steps (t = 1) are made. This is a heuristic: the objective
    changes as it goes.

    With a `multiplier` the objective is fixed: f(W) + Σ p(sigma; w), with w² = 2 · multiplier ·
    unit. It is proximal gradient descent, in the metric in which the map is exact, if the
    optimizer is `WhitenedGradient`, `every` is 1 and the learning rate is at most one over the
    smoothness of f there: then the objective never rises, and with `soft` and a convex f it goes to
    the minimum. Around other optimizers, which step in other metrics, it is a heuristic.

    Args:
        optimizer: Steps the Parameters of the targets, and any others.
        targets: What to threshold. No two may share a Parameter.
        shrinkage: `soft`, `reweighted` or `hard`.
        schedule: Cost allowed at each optimizer step. Either this or `multiplier`.
        multiplier: Loss accepted for one unit of cost.
        every: Optimizer steps from one proximal step to the next.
        hold: The shrinkage once a schedule has come to its end. To shrink what stays for as long as
            training goes on costs accuracy and buys nothing.

    Attributes:
        optimizer: The optimizer; schedulers of learning rates belong to it.
        history: What each proximal step did.

    Raises:
        InputError: The options contradict each other, or targets share a Parameter.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        targets: Sequence[SVTTarget],
        *,
        shrinkage: str = "reweighted",
        schedule: Schedule | None = None,
        multiplier: float | None = None,
        every: int = 1,
        hold: str = "hard",
    ) -> None:
        if (schedule is None) == (multiplier is None):
            raise InputError("Singular value thresholding needs a schedule or a multiplier.")
        if len({id(target.parameter) for target in targets}) < len(targets):
            raise InputError("Two targets share a weight: threshold it as one.")
        self.optimizer = optimizer
        self.targets = list(targets)
        self.history: list[Record] = []
        self._shrinkage = get_shrinkage(shrinkage)
        self._hold = get_shrinkage(hold)
        self._schedule = schedule
        self._multiplier = multiplier
        self._every = every
        self._steps = 0
        self._kept: dict[str, Tensor] = {}

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One optimizer step, and every k of them the proximal map."""
        loss = self.optimizer.step(closure)
        self._steps += 1
        if self._steps % self._every == 0:
            self.threshold()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As the optimizer's."""
        self.optimizer.zero_grad(set_to_none)

    @torch.no_grad()
    def threshold(self) -> Record:
        """Applies the proximal map now."""
        found = [target.whitening.decompose(target.matrices()) for target in self.targets]
        multiplier = self._multiplier
        if multiplier is None:
            assert self._schedule is not None
            multiplier = find_multiplier(self._schedule.at(self._steps), *self._costs(found))
        ranks, change, penalty = {}, {}, 0.0
        shrinkage = self._current()
        left = []
        for target, decomposition in zip(self.targets, found, strict=True):
            weight = weight_of(multiplier, target.unit)
            length = 1.0 if self._multiplier is None else self._rate(target) * self._every
            sigma = shrinkage.shrink(decomposition.sigma, weight, length)
            target.parameter.copy_(target.stored(decomposition.replaced(sigma)))
            left.append(sigma)
            penalty += shrinkage.penalty(sigma, weight)
            ranks[target.name] = int((sigma > 0).sum(-1).max())
            change[target.name] = self._turned(target.name, decomposition, ranks[target.name])
        units, dense = self._prices()
        cost = cost_at(0.0, left, units, dense)
        record = Record(self._steps, multiplier, cost, penalty, ranks, change)
        self.history.append(record)
        return record

    def penalty(self) -> float:
        """The penalty of the Parameters as they are, with the weights of the last step."""
        multiplier = self._multiplier if not self.history else self.history[-1].multiplier
        assert multiplier is not None
        total = 0.0
        for target in self.targets:
            sigma = target.whitening.decompose(target.matrices()).sigma
            total += self._current().penalty(sigma, weight_of(multiplier, target.unit))
        return total

    def factors(self, cost: float) -> dict[str, tuple[Tensor, Tensor] | None]:
        """Cuts all targets to a cost, without shrinking what stays.

        Args:
            cost: What all of them may cost.

        Returns:
            Name to balanced factors of shapes (groups, K, rank) and (groups, rank, N), float64;
            None for a target that is cheaper, or no dearer, as it is.
        """
        found = [target.whitening.decompose(target.matrices()) for target in self.targets]
        multiplier = find_multiplier(cost, *self._costs(found))
        result: dict[str, tuple[Tensor, Tensor] | None] = {}
        for target, decomposition in zip(self.targets, found, strict=True):
            weight = weight_of(multiplier, target.unit)
            rank = int((decomposition.sigma > weight).sum(-1).max())
            factorized = rank * target.unit < target.dense
            result[target.name] = decomposition.factors(rank) if factorized else None
        return result

    def state_dict(self) -> dict[str, Any]:
        """All that continuing needs, the optimizer's state included."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "steps": self._steps,
            "history": list(self.history),
            "kept": dict(self._kept),
            "moments": [target.whitening.moment for target in self.targets],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]
        self.history = list(state["history"])
        self._kept = dict(state["kept"])
        for target, moment in zip(self.targets, state["moments"], strict=True):
            target.whitening.moment = moment

    def _current(self) -> Shrinkage:
        over = self._schedule is not None and self._steps >= self._schedule.steps
        return self._hold if over else self._shrinkage

    def _costs(
        self, found: Sequence[Decomposition]
    ) -> tuple[list[Tensor], list[float], list[float]]:
        return ([decomposition.sigma for decomposition in found], *self._prices())

    def _prices(self) -> tuple[list[float], list[float]]:
        return [target.unit for target in self.targets], [target.dense for target in self.targets]

    def _rate(self, target: SVTTarget) -> float:
        for group in self.optimizer.param_groups:
            if any(parameter is target.parameter for parameter in group["params"]):
                return float(group["lr"])
        raise InputError(f"The optimizer does not step '{target.name}'.")

    def _turned(self, name: str, decomposition: Decomposition, rank: int) -> float:
        """The share of the kept directions that were not kept at the last step."""
        basis = torch.linalg.qr(decomposition.lift[:, :, :rank]).Q
        old, self._kept[name] = self._kept.get(name), basis
        if old is None or not rank:
            return 0.0
        return max(0.0, 1 - float((old.mT @ basis).square().sum()) / (rank * len(basis)))
