"""Allocation of ranks: one candidate for each target, at the least loss that the budget allows."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..curve import DENSE

__all__ = ["DENSE", "Choices", "allocate_global", "allocate_uniform", "upgrade"]


@dataclasses.dataclass(frozen=True)
class Choices:
    """The candidates of one target, from the cheapest to the dearest, which is keeping it dense.

    Attributes:
        name: The target's name.
        ranks: Shape (candidates,); the last is `DENSE`.
        costs: In units of the budget, shape (candidates,), not decreasing.
        losses: Predicted, shape (candidates,), not increasing; the last is 0.
        plans: What each candidate is where the target has several forms: the rank of each of its
            unfoldings. Empty where there is one, whose ranks are `ranks`.
    """

    name: str
    ranks: npt.NDArray[np.int64]
    costs: Array
    losses: Array
    plans: tuple[dict[str, int], ...] = ()

    def taken(self, index: int) -> dict[str, int]:
        """The ranks of one candidate."""
        return self.plans[index] if self.plans else {self.name: int(self.ranks[index])}

    def index(self, ranks: Mapping[str, int]) -> int:
        """The place of ranks among the candidates."""
        if self.plans:
            return self.plans.index({name: ranks[name] for name in self.plans[0]})
        return int(np.flatnonzero(self.ranks == ranks[self.name])[0])

    @property
    def dense(self) -> float:
        """The cost of keeping the target dense."""
        return float(self.costs[-1])


def allocate_global(choices: Sequence[Choices], limit: float) -> dict[str, int]:
    """The ranks that minimize the summed loss under a bound on the summed cost.

    One Lagrange multiplier serves all targets: starting from the cheapest candidates, the steps
    along each target's lower convex hull of (cost, loss) are taken in the order of what they
    gain for what they cost (Shoham and Gersho, "Efficient bit allocation for an arbitrary set of
    quantizers", 1988). What the hull leaves over goes to single candidates that still fit.

    Args:
        choices: The candidates of every target.
        limit: The bound.

    Returns:
        Target name to rank, or `DENSE`.

    Raises:
        ValueError: Even the cheapest candidates exceed the bound.
    """
    taken = _cheapest(choices, limit)
    left = limit - sum(float(c.costs[i]) for c, i in zip(choices, taken, strict=True))
    steps = []
    for index, choice in enumerate(choices):
        hull = _lower_hull(choice.costs, choice.losses)
        for a, b in itertools.pairwise(hull):
            cost = float(choice.costs[b] - choice.costs[a])
            gain = float(choice.losses[a] - choice.losses[b])
            steps.append((-gain / cost if cost > 0 else -np.inf, index, a, b, cost))
    steps.sort(key=lambda step: step[0])
    for _, index, a, b, cost in steps:
        # A target whose earlier step did not fit has left its hull for good.
        if taken[index] == a and cost <= left:
            taken[index] = b
            left -= cost
    upgrade(choices, taken, left)
    return _ranks_of_all(choices, taken)


def allocate_uniform(choices: Sequence[Choices], limit: float) -> dict[str, int]:
    """The same fraction of its dense cost for every target, as far as rounding allows.

    Arguments, result and error are those of `allocate_global`; losses do not matter.
    """
    _cheapest(choices, limit)

    def at(fraction: float) -> list[int]:
        return [
            max(0, int(np.searchsorted(c.costs, fraction * c.dense, side="right")) - 1)
            for c in choices
        ]

    def total(taken: list[int]) -> float:
        return sum(float(c.costs[i]) for c, i in zip(choices, taken, strict=True))

    low, high = 0.0, 1.0
    if total(at(1.0)) <= limit:
        low = 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if total(at(middle)) <= limit else (low, middle)
    taken = at(low)
    left = limit - total(taken)
    # Rounding down leaves something: give one step each to those that lost most by it.
    short = [
        low - float(c.costs[i]) / c.dense if c.dense else 0.0
        for c, i in zip(choices, taken, strict=True)
    ]
    for index in np.argsort(-np.array(short), kind="stable"):
        choice, i = choices[index], taken[index]
        if i + 1 < len(choice.costs) - 1 and choice.costs[i + 1] - choice.costs[i] <= left:
            left -= float(choice.costs[i + 1] - choice.costs[i])
            taken[index] = i + 1
    return _ranks_of_all(choices, taken)


def _ranks_of_all(choices: Sequence[Choices], taken: Sequence[int]) -> dict[str, int]:
    """The ranks of all targets."""
    ranks: dict[str, int] = {}
    for choice, index in zip(choices, taken, strict=True):
        ranks |= choice.taken(index)
    return ranks


def _cheapest(choices: Sequence[Choices], limit: float) -> list[int]:
    """Index of the cheapest candidate of every target."""
    least = sum(float(c.costs[0]) for c in choices)
    if least > limit:
        raise ValueError(f"the cheapest candidates cost {least:g}, above the limit {limit:g}")
    return [0] * len(choices)


def _lower_hull(costs: Array, losses: Array) -> list[int]:
    """Indices of the lower convex hull of points sorted by cost, first and last included."""
    hull: list[int] = []
    for k in range(len(costs)):
        while len(hull) > 1:
            i, j = hull[-2], hull[-1]
            # j is above the chord from i to k: no multiplier would choose it.
            if (losses[j] - losses[i]) * (costs[k] - costs[i]) < (losses[k] - losses[i]) * (
                costs[j] - costs[i]
            ):
                break
            hull.pop()
        hull.append(k)
    return hull


def upgrade(choices: Sequence[Choices], taken: list[int], left: float) -> None:
    """Takes the best single upgrades that fit in what is left, in place."""
    while True:
        best, move = 0.0, None
        for index, choice in enumerate(choices):
            i = taken[index]
            costs = choice.costs[i + 1 :] - choice.costs[i]
            fits = int(np.searchsorted(costs, left, side="right"))
            if not fits:
                continue
            gains = choice.losses[i] - choice.losses[i + 1 : i + 1 + fits]
            # The dearest that fits wins among equals: a budget is there to be used.
            rates = gains / np.maximum(costs[:fits], 1e-300)
            j = int(np.argmax(gains if rates.max() <= 0 else rates))
            if rates[j] > best or (move is None and gains[j] >= 0):
                best, move = float(rates[j]), (index, i + 1 + j, float(costs[j]))
        if move is None:
            return
        index, taken[index], cost = move
        left -= cost
