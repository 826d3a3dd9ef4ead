"""What it would gain to cut operators that share in narrowed channels, by predicted losses.

    python -m benchmarks.narrowed_and_cut [NAME ...] [--samples 64] [--seed 0]
        [--budget targets=0.5 --budget targets=0.35 ...] [--save FILE.json]

The product takes an operator as cut, or as a neighbour of narrowed channels. Here one multiplier
chooses among the same candidates, once so and once with cuts of narrowed operators, too: factors of
r (K + N) weights, of whose K rows and N columns those of channels that go are gone. The loss of
both is the sum of the two: regression on the channels that stay is linear, so it keeps the rank,
and errors are taken to be apart. So this is what a search would be told; nothing is written.
Printed are the predicted losses at equal cost, and how many operators are both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks import figures
from onnx_factorize.allocation.allocator import choices_of
from onnx_factorize.allocation.channel_prices import ChannelPrices, Item
from onnx_factorize.allocation.lagrangian import Choices
from onnx_factorize.arrays import Array
from onnx_factorize.goals.budgets import price_of
from onnx_factorize.options import Budget, Options
from onnx_factorize.passes import Target
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress

# Values of the multiplier that are tried, and rounds of improvements at each.
_BISECTIONS = 30
_ROUNDS = 6


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", "budgets", multiple=True, default=("targets=0.5", "targets=0.35"))
@click.option("--samples", default=64, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    names: tuple[str, ...], budgets: tuple[str, ...], samples: int, seed: int, save: Path | None
) -> None:
    """Run the models NAMES, or all."""
    rows: list[dict[str, Any]] = []
    for name in names or models.names():
        recipe = models.get(name)
        options = Options.of(samples=samples, seed=seed, prefer="size", threads=1)
        known = calibrated(recipe.model_path, recipe.calib_path, options, Progress())
        first = known.analysis.sound.candidates[0]
        narrowings = known.analysis.channels.narrowings
        for budget in budgets:
            asked = dataclasses.replace(options, budget=Budget.parse(budget))
            price = price_of(asked.budget, known.costs)
            choices = choices_of(known.targets, first, price, asked)
            prices = ChannelPrices.of(narrowings, known.targets, price)
            cost = price.of_model(known.targets)
            fixed = price.of_stored(known.targets) - sum(each.dense for each in choices)
            limit = asked.budget.limit(cost) - fixed
            by_name = {t.operator: c for t, c in zip(known.targets, choices, strict=True)}
            row: dict[str, Any] = {"model": name, "budget": budget, "seed": seed}
            for both in (False, True):
                search = Search(by_name, prices, first.losses, known.targets, both=both)
                row["both" if both else "apart"] = search.within(limit)
            rows.append(row)
            print(_line(row), flush=True)
            figures.write(save, rows)


class Search:
    """Ranks and widths by one multiplier, operators being cut, narrowed, or both if that may be."""

    def __init__(
        self,
        choices: Mapping[str, Choices],
        prices: ChannelPrices,
        losses: Mapping[str, Array],
        targets: list[Target],
        *,
        both: bool,
    ) -> None:
        self.choices, self.both = choices, both
        self.targets = {target.operator: target for target in targets}
        self.losses, self.parts = [], []
        for number, narrowing in enumerate(prices.narrowings):
            own, widths = losses.get(narrowing.name), prices.widths[number]
            self.losses.append(np.zeros(1) if own is None else own[widths])
            self.parts.append(prices.parts(number)[-len(self.losses[-1]) :])
        self.at = [len(parts) - 1 for parts in self.parts]
        self.items = {i.target: i for i in prices.items if i.target in choices}
        self.others = [item for item in prices.items if item.target not in choices]
        # By operator and group, the share of its rows and of its columns that are of the group.
        self.rows: dict[str, dict[int, float]] = {}
        self.columns: dict[str, dict[int, float]] = {}
        for number, each in enumerate(prices.narrowings):
            for target, reader in zip(each.readers, each.group.readers, strict=True):
                self.rows.setdefault(target.operator, {})[number] = reader.rows.size / target.rows
            for target, column in zip(each.producers, each.group.columns, strict=True):
                share = column.size / (target.groups * target.columns)
                self.columns.setdefault(target.operator, {})[number] = share
        dense = sum(choice.dense for choice in choices.values())
        lost = sum(float(choice.losses[0]) for choice in choices.values())
        self.scale = (lost + sum(float(own[0]) for own in self.losses)) / dense

    def within(self, limit: float) -> dict[str, float]:
        """The least loss that is found within a cost, and what it is made of."""
        low, high, found = 1e-12, 1e12, {"loss": np.inf}
        for _ in range(_BISECTIONS):
            rate = float(np.sqrt(low * high))
            self._descend(rate * self.scale)
            cost, made = self._made(rate * self.scale)
            if cost <= limit:
                high, found = rate, made | {"cost": cost / limit}
            else:
                low = rate
        return found

    def _shares(self) -> list[float]:
        return [float(parts[at]) for parts, at in zip(self.parts, self.at, strict=True)]

    def _descend(self, rate: float) -> None:
        for _ in range(_ROUNDS):
            before = list(self.at)
            for group, parts in enumerate(self.parts):
                names = [n for n, item in self.items.items() if n and group in item.groups]
                beside = [item for item in self.others if group in item.groups]
                values, shares = self.losses[group].copy(), self._shares()
                for at, part in enumerate(parts):
                    shares[group] = float(part)
                    values[at] += rate * _change(beside, shares)
                    values[at] += sum(self._best(name, shares, rate)[0] for name in names)
                self.at[group] = int(np.argmin(values))
            if self.at == before:
                return

    def _best(
        self, name: str, shares: list[float], rate: float
    ) -> tuple[float, float, float, bool]:
        """The value of the best of an operator, its cost and loss, and whether it is both."""
        choice, target, item = self.choices[name], self.targets[name], self.items.get(name)
        cost = choice.dense - (0 if item is None else item.price * (1 - item.left(shares)))
        rows, columns = (_left(each.get(name, {}), shares) for each in (self.rows, self.columns))
        narrow, lost = rows < 1 or columns < 1, 0.0
        weights = target.rows * rows + target.columns * columns
        costs = choice.costs[:-1] * weights / (target.rows + target.columns)
        values = choice.losses[:-1] + rate * costs
        if narrow:
            able = [self.both and _cuts_itself(choice, i, target) for i in range(len(values))]
            values = np.where(able, values, np.inf)
        cut = bool(len(values)) and float(values.min()) < rate * cost
        if cut:
            best = int(np.argmin(values))
            cost, lost = float(costs[best]), float(choice.losses[best])
        return lost + rate * cost, cost, lost, narrow and cut

    def _made(self, rate: float) -> tuple[float, dict[str, float]]:
        shares = self._shares()
        every = [self._best(name, shares, rate) for name in self.choices]
        loss = sum(float(own[at]) for own, at in zip(self.losses, self.at, strict=True))
        made = {
            "loss": loss + sum(lost for _, _, lost, _ in every),
            "both": float(sum(both for *_, both in every)),
            "narrowed": float(sum(share < 1 for share in shares)),
        }
        return sum(cost for _, cost, _, _ in every) + _change(self.others, shares), made


def _change(items: list[Item], shares: list[float]) -> float:
    return sum(item.price * (item.left(shares) - 1) for item in items)


def _left(parts: Mapping[int, float], shares: list[float]) -> float:
    """The share of an axis that is left."""
    return 1 - sum(part * (1 - shares[group]) for group, part in parts.items())


def _cuts_itself(choice: Choices, index: int, target: Target) -> bool:
    """Tells whether a candidate is a pair in the operator's own unfolding, without groups."""
    cut = [name for name, rank in choice.taken(index).items() if rank]
    return cut == [target.name] and target.groups == 1 and not target.identity


def _line(row: dict[str, Any]) -> str:
    apart, both = row["apart"], row["both"]
    return (
        f"{row['model']:18s} {row['budget']:13s} seed {row['seed']}  "
        f"{apart['loss']:.5f} nats predicted, {apart.get('narrowed', 0):.0f} groups narrowed; "
        f"with both {both['loss']:.5f} ({both['loss'] / apart['loss']:.3f}), "
        f"{both.get('both', 0):.0f} operators"
    )


if __name__ == "__main__":
    main()
