"""Allocation of ranks and of widths at once, by one Lagrange multiplier.

Every operator is cut, or kept dense, or shares in channels that are narrowed: then it stays one
operator, whose cost falls with the channels that it reads and with those that it computes. That is
no sum over operators, so at each value of the multiplier the widths are improved one after the
other, each with the best of what its neighbours can do, until none changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..arrays import Array
from ..curve import DENSE
from .channel_prices import ChannelPrices, Item
from .lagrangian import Choices, upgrade

__all__ = ["allocate_jointly", "cost_of", "least_cost"]

# Values of the multiplier that are tried, and rounds of improvements at each.
_BISECTIONS = 40
_ROUNDS = 6

# The largest value of the multiplier, in losses per cost, relative to those of the whole.
_MOST = 1e12


def allocate_jointly(
    choices: Mapping[str, Choices],
    prices: ChannelPrices,
    losses: Mapping[str, Array],
    limit: float,
) -> dict[str, int] | None:
    """The ranks and widths that lose least under a bound on the cost, as far as that is found.

    Args:
        choices: Operator to the candidates of its target.
        prices: The channels, with what they cost.
        losses: By the name of channels the loss at every width; those without stay.
        limit: The bound.

    Returns:
        Target name to rank, and name of channels to width, or `DENSE`; None if nothing is found
        that is within the bound.
    """
    state = _State(choices, prices, losses)
    low, high = 1 / _MOST, _MOST
    unit = max(state.scale, 1e-30)
    found = None
    for _ in range(_BISECTIONS):
        middle = float(np.sqrt(low * high))
        state.descend(middle * unit)
        if state.cost <= limit:
            high, found = middle, state.copy()
        else:
            low = middle
    if found is None:
        return None
    found.spend(limit - found.cost)
    return found.plan


def cost_of(plan: Mapping[str, int], choices: Iterable[Choices], prices: ChannelPrices) -> float:
    """What a plan costs, of all that ranks and widths change."""
    # What all channels cost is among the choices, or among what stays.
    dense = sum(float(choice.costs[choice.index(plan)]) for choice in choices)
    return dense + prices.change(prices.shares(plan))


def least_cost(
    choices: Mapping[str, Choices], prices: ChannelPrices, losses: Mapping[str, Array]
) -> float:
    """The least cost that is found, of cuts and of fewer channels, each where it saves more."""
    state = _State(choices, prices, losses)
    state.descend(_MOST * max(state.scale, 1e-30))
    return state.cost


class _State:
    """Ranks and widths."""

    def __init__(
        self, choices: Mapping[str, Choices], prices: ChannelPrices, losses: Mapping[str, Array]
    ) -> None:
        self.choices = choices
        self.taken = {name: len(choice.costs) - 1 for name, choice in choices.items()}
        self.narrowings = prices.narrowings
        self.widths, self.losses = [], []
        for each, widths in zip(prices.narrowings, prices.widths, strict=True):
            own = losses.get(each.name)
            self.widths.append(widths[-1:] if own is None else widths)
            self.losses.append(np.zeros(1) if own is None else own[self.widths[-1]])
        self.at = [len(widths) - 1 for widths in self.widths]
        every = (prices.parts(number) for number in range(len(self.widths)))
        self.parts: list[list[float]] = [
            parts[-len(widths) :].tolist() for parts, widths in zip(every, self.widths, strict=True)
        ]
        self.prices = prices
        self.of_group: list[list[Item]] = [[] for _ in self.widths]
        self.of_target: dict[str, Item] = {}
        for item in prices.items:
            for group in item.groups:
                self.of_group[group].append(item)
            if item.target is not None and item.target in self.choices:
                self.of_target[item.target] = item
        dense = sum(choice.dense for choice in choices.values())
        lost = sum(float(choice.losses[0]) for choice in choices.values())
        lost += sum(float(own[0]) for own in self.losses)
        self.scale = lost / max(dense, 1e-30)

    def copy(self) -> _State:
        """The same, which changes by itself."""
        other = object.__new__(_State)
        other.__dict__ = {**self.__dict__, "taken": dict(self.taken), "at": list(self.at)}
        return other

    @property
    def shares(self) -> list[float]:
        """The share of each group's channels that stay."""
        return [parts[i] for parts, i in zip(self.parts, self.at, strict=True)]

    @property
    def cost(self) -> float:
        """What all of it costs."""
        taken = sum(float(c.costs[self.taken[name]]) for name, c in self.choices.items())
        return taken + self.prices.change(self.shares)

    @property
    def plan(self) -> dict[str, int]:
        """Target name to rank, and name of channels to width, or `DENSE`."""
        found: dict[str, int] = {}
        for name, choice in self.choices.items():
            found |= choice.taken(self.taken[name])
        for number, narrowing in enumerate(self.narrowings):
            full = self.at[number] == len(self.widths[number]) - 1
            found[narrowing.name] = DENSE if full else int(self.widths[number][self.at[number]])
        return found

    def descend(self, rate: float) -> None:
        """Improves widths and ranks until none changes, at one loss per cost."""
        best = {
            name: int(np.argmin(choice.losses + rate * choice.costs))
            for name, choice in self.choices.items()
        }
        value = {
            name: float(choice.losses[best[name]] + rate * choice.costs[best[name]])
            for name, choice in self.choices.items()
        }
        for _ in range(_ROUNDS):
            before = list(self.at)
            for group in range(len(self.at)):
                self.at[group] = self._best_width(group, rate, value)
            if self.at == before:
                break
        free = self._free()
        for name, choice in self.choices.items():
            self.taken[name] = best[name] if name in free else len(choice.costs) - 1

    def _best_width(self, group: int, rate: float, value: Mapping[str, float]) -> int:
        """The width of one group that is best beside the others, whose neighbours may be cut."""
        shares = self.shares
        least = slope = cut = 0.0
        for item in self.of_group[group]:
            none, every = item.between(group, shares)
            least += item.price * none
            slope += item.price * (every - none)
            if item.target is not None and item.target in self.choices and every == 1.0:
                cut += value[item.target] - rate * item.price
        total = self.losses[group] + rate * (least + slope * np.array(self.parts[group]))
        total[-1] += cut
        return int(np.argmin(total))

    def _free(self) -> set[str]:
        """The targets that share in no channels that are narrowed."""
        shares = self.shares
        bound = {
            name
            for name, item in self.of_target.items()
            if any(shares[group] < 1 for group in item.groups)
        }
        return set(self.choices) - bound

    def spend(self, left: float) -> None:
        """Takes what still fits: wider channels first, then the best single upgrades of ranks."""
        while True:
            best, move = 0.0, None
            base = self.cost
            for group, at in enumerate(self.at):
                if at + 2 >= len(self.widths[group]):
                    continue  # with all channels its neighbours would be free again
                self.at[group] = at + 1
                cost = self.cost - base
                self.at[group] = at
                gain = float(self.losses[group][at] - self.losses[group][at + 1])
                if 0 < cost <= left and gain / cost > best:
                    best, move = gain / cost, (group, cost)
            if move is None:
                break
            self.at[move[0]] += 1
            left -= move[1]
        names = [name for name in self.choices if name in self._free()]
        taken = [self.taken[name] for name in names]
        upgrade([self.choices[name] for name in names], taken, left)
        self.taken |= dict(zip(names, taken, strict=True))
