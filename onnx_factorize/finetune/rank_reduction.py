"""Rank reduction while factors are trained: a proximal step between them, every few steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..torch.module import GraphModule
from .balanced_truncation import Balanced, balance
from .bottleneck import Bottleneck, Factor
from .cost_schedule import Schedule
from .gramians import Gramians
from .multiplier import least_multiplier, weight_of
from .shrinkage import get_shrinkage

__all__ = ["RankReduction", "Reduced", "cost_of"]

_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class Reduced:
    """The outcome of one proximal step.

    Attributes:
        step: Optimizer steps before it.
        share: What all factors cost afterwards, as a share of what the operators cost dense.
        ranks: Of each bottleneck, by the name of its value.
        dropped: Share of the whitened energy that went, from 0 to 1.
    """

    step: int
    share: float
    ranks: dict[str, int]
    dropped: float


class RankReduction:
    """Wraps an optimizer; every k steps it drops what matters least between factors.

    What matters is measured each time, with the weights as they are then: the singular values of
    each product in whitened coordinates (`balanced_truncation`). One multiplier for all, the
    smallest that comes down to what the schedule allows, decides where components go. Those that
    stay are shrunk as the proximal map says, while others go, and no longer once the cost is down.

    Parameters keep their shapes: what is dropped is zero on both sides, gets no gradient, and stays
    so. The optimizer forgets what it knows of a weight whose coordinates change.

    Attributes:
        optimizer: The optimizer.
        bottlenecks: What becomes narrower.
        history: What each proximal step did.
        ranks: Rank of each bottleneck, by the name of its value.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        module: GraphModule,
        bottlenecks: Sequence[Bottleneck],
        measure: Callable[[int], Gramians],
        prices: Mapping[str, float],
        *,
        schedule: Schedule,
        shrinkage: str = "hard",
        multiples: Mapping[str, int] | None = None,
    ) -> None:
        """Starts.

        Args:
            optimizer: Steps the Parameters of the factors, and any others.
            module: The factorized graph in torch.
            bottlenecks: What is to become narrower.
            measure: Gives P and Q of each bottleneck, by the name of its value; it is told how many
                proximal steps were made before.
            prices: Name of a weight to what it costs as wide as it is.
            schedule: Cost allowed at each optimizer step, and when proximal steps are.
            shrinkage: `soft`, `hard` or `reweighted`.
            multiples: Ranks are multiples of these, by the name of the value; of 1 by default.
        """
        self.optimizer = optimizer
        self.history: list[Reduced] = []
        self.ranks = {each.value: each.width for each in bottlenecks}
        self._module, self.bottlenecks, self._measure = module, bottlenecks, measure
        self._prices, self._multiples = prices, multiples or {}
        self._schedule = schedule
        self._shrinkage = get_shrinkage(shrinkage)
        self._steps = 0

    @property
    def over(self) -> bool:
        """Tells whether all steps in which the cost comes down are over."""
        return self.over_after(self._steps)

    def over_after(self, steps: int) -> bool:
        """Tells whether they are after so many steps of the optimizer."""
        return steps >= self._schedule.steps

    @property
    def cost(self) -> float:
        """The cost of all factors."""
        return cost_of(self.bottlenecks, self._prices, self.ranks)

    def state(self) -> dict[str, Any]:
        """The state to continue from, besides weights and the optimizer's, as plain data."""
        history = [dataclasses.asdict(each) for each in self.history]
        return {"steps": self._steps, "ranks": dict(self.ranks), "history": history}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from what `state` gave, with the Parameters as they were then."""
        self._steps, self.ranks = state["steps"], dict(state["ranks"])
        self.history = [Reduced(**each) for each in state["history"]]

    @torch.no_grad()
    def reread(self) -> None:
        """Goes on from what the Parameters are, if those of an earlier step were put back."""
        for each in self.bottlenecks:
            rows = each.down.matrices(self._parameter(each.down)).abs().amax((0, 2))
            self.ranks[each.value] = int((rows > 0).sum())
        if self.over and self.cost > self._schedule.end:
            self.reduce()

    def step(self) -> None:
        """One step of the optimizer, and every k of them a proximal step."""
        self.optimizer.step()
        self._steps += 1
        if self._steps < self._schedule.steps:
            if self._steps % self._schedule.every == 0:
                self.reduce()
        elif self._steps == self._schedule.steps:
            self.reduce()

    @torch.no_grad()
    def reduce(self) -> Reduced:
        """A proximal step now."""
        gramians = self._measure(len(self.history))
        found = {
            each.value: balance(*(g[:, :rank, :rank] for g in gramians[each.value]))
            for each in self.bottlenecks
            for rank in [self.ranks[each.value]]
        }
        units = {each.value: self._unit(each) for each in self.bottlenecks}

        def ranks_at(multiplier: float) -> dict[str, int]:
            return {
                name: self._rank(name, balanced.sigma, weight_of(multiplier, units[name]))
                for name, balanced in found.items()
            }

        allowed = self._schedule.at(self._steps)
        most = max(float(b.sigma.square().sum()) / (2 * units[n]) for n, b in found.items())
        multiplier = least_multiplier(
            allowed, lambda m: cost_of(self.bottlenecks, self._prices, ranks_at(m)), most
        )
        ranks, kept, whole = ranks_at(multiplier), 0.0, 0.0
        for each in self.bottlenecks:
            name = each.value
            sigma, rank = found[name].sigma, ranks[name]
            whole += float(sigma.square().sum())
            kept += float(sigma[:, :rank].square().sum())
            shrunk = self._shrinkage.shrink(sigma, weight_of(multiplier, units[name]), 1.0)
            # A block may stay for the sake of what is large in it; the rest is not shrunk to zero.
            shrunk = torch.where(shrunk > 0, shrunk, sigma)[:, :rank]
            if not torch.equal(shrunk, sigma):
                self._truncate(each, found[name], shrunk)
        self.ranks = ranks
        record = Reduced(
            self._steps, self.cost / self._schedule.dense, ranks, 1 - kept / whole if whole else 0.0
        )
        self.history.append(record)
        return record

    def _rank(self, name: str, sigma: Tensor, weight: float) -> int:
        """The components that stay: in blocks, if each is worth its cost in all groups."""
        multiple = self._multiples.get(name, 1)
        squares = sigma.square().sum(0)
        blocks = squares[: len(squares) // multiple * multiple].reshape(-1, multiple).mean(1)
        rank = multiple * max(1, int((blocks > weight**2).sum()))
        return min(rank, len(squares))

    def _unit(self, bottleneck: Bottleneck) -> float:
        """The cost of one component, with the other ranks as they are."""
        own = {bottleneck.down.weight, bottleneck.up.weight}
        costs = _costs(self.bottlenecks, self._prices, self.ranks)
        return sum(costs[name] for name in own) / self.ranks[bottleneck.value]

    def _truncate(self, bottleneck: Bottleneck, found: Balanced, sigma: Tensor) -> None:
        """Leaves some components, of equal norm on both sides, before zeros."""
        old = self.ranks[bottleneck.value]
        into, back = found.cut(sigma)
        factors = (bottleneck.down, bottleneck.up)
        parameters = [self._parameter(factor) for factor in factors]
        first, second = (
            factor.matrices(parameter.double())[:, :old]
            for factor, parameter in zip(factors, parameters, strict=True)
        )
        first, second = into.mT @ first, back @ second
        norms = first.norm(dim=2), second.norm(dim=2)
        live = (norms[0] > 0) & (norms[1] > 0)
        scale = torch.where(live, norms[1] / norms[0].clamp(min=_TINY), 1).sqrt()[:, :, None]
        for factor, parameter, rows in zip(
            factors, parameters, (first * scale, second / scale), strict=True
        ):
            matrices = torch.zeros_like(factor.matrices(parameter), dtype=rows.dtype)
            matrices[:, : rows.shape[1]] = rows
            parameter.copy_(factor.stored(matrices, parameter))
            # What it remembers is in other coordinates. Transformed, it serves no better.
            self.optimizer.state.pop(parameter, None)

    def _parameter(self, factor: Factor) -> nn.Parameter:
        return self._module.get_parameter(self._module.initializers[factor.weight])


def cost_of(
    bottlenecks: Sequence[Bottleneck], prices: Mapping[str, float], ranks: Mapping[str, int]
) -> float:
    """The cost of the factors beside some bottlenecks.

    Args:
        bottlenecks: The bottlenecks.
        prices: Name of a weight to what it costs as wide as it is.
        ranks: Rank of each bottleneck, by the name of its value.
    """
    return sum(_costs(bottlenecks, prices, ranks).values())


def _costs(
    bottlenecks: Sequence[Bottleneck], prices: Mapping[str, float], ranks: Mapping[str, int]
) -> dict[str, float]:
    """The cost of each weight: a share of its price for each bottleneck beside it."""
    costs: dict[str, float] = {}
    for each in bottlenecks:
        for factor in (each.down, each.up):
            cost = costs.get(factor.weight, prices[factor.weight])
            costs[factor.weight] = cost * ranks[each.value] / each.width
    return costs
