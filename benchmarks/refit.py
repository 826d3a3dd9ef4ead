"""What the refit of a plan gains on samples that no run has seen: the same plan with and without.

    python -m benchmarks.refit [NAME ...] [--budget targets=0.5 ...] [--seed N ...]
        [--samples 256] [--narrow off --narrow auto --narrow only] [--save FILE.json]

For each model, seed, budget and `--narrow`: the divergence of the plan that is taken, before its
factors and the readers of narrowed channels are refitted one after the other, and after; what the
run itself measured of the gain on folds kept apart (1 where it left the refit out); and how many
operators are cut, and groups of channels narrowed. In the end the geometric mean of the ratios.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks import figures
from benchmarks.effort import Judge
from onnx_factorize.allocation.allocator import Allocator
from onnx_factorize.allocation.plan import compress
from onnx_factorize.goals.budgets import price_of
from onnx_factorize.options import Budget, Options, Selection
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", "budgets", multiple=True, default=("targets=0.5",), show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0,), show_default=True)
@click.option("--samples", default=256, show_default=True)
@click.option("--narrow", "ways", multiple=True, default=("off", "auto"), show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    names: tuple[str, ...],
    budgets: tuple[str, ...],
    seeds: tuple[int, ...],
    samples: int,
    ways: tuple[str, ...],
    save: Path | None,
) -> None:
    """Run the models NAMES, or all."""
    rows: list[dict[str, Any]] = []
    for name in names or models.names():
        for seed in seeds:
            judge = Judge(models.get(name), Selection(samples=samples, seed=seed))
            for narrow in ways:
                options = Options.of(
                    narrow=narrow,
                    seed=seed,
                    samples=samples,
                    prefer="size",
                    threads=1,
                    best_effort=True,
                )
                for row in measured(name, budgets, options, judge):
                    rows.append({"model": name, "seed": seed, "narrow": narrow} | row)
                    print(_line(rows[-1]), flush=True)
                    figures.write(save, rows)
    for narrow in ways:
        gains = [np.log(row["gain"]) for row in rows if row["narrow"] == narrow]
        print(f"{narrow}: geometric mean {np.exp(np.mean(gains)):.3f} of {len(gains)}")


def measured(
    name: str, budgets: tuple[str, ...], options: Options, judge: Judge
) -> list[dict[str, Any]]:
    """The figures of one calibration, budget by budget."""
    recipe = models.get(name)
    known = calibrated(recipe.model_path, recipe.calib_path, options, Progress())
    rows = []
    for budget in budgets:
        asked = dataclasses.replace(options, budget=Budget.parse(budget))
        price = price_of(asked.budget, known.costs)
        model, plan = compress(known, price, asked, Progress())
        assert plan.candidate is not None
        allocator = Allocator(known.targets, known.analysis.sound, price, asked)
        plain = allocator.allocate(known.start, plan.candidate)
        before, after = judge.divergence(plain.model), judge.divergence(model)
        rows.append(
            {
                "budget": budget,
                "before": before,
                "after": after,
                "gain": after / before,
                "expected": plan.refit or 1.0,
                "cut": len({each.operator for each in plain.cut}),
                "narrowed": len(plain.channels.kept),
            }
        )
    return rows


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['model']:18s} {row['budget']:13s} {row['narrow']:5s} seed {row['seed']}  "
        f"{row['before']:.4f} -> {row['after']:.4f} nats  ratio {row['gain']:.3f} "
        f"(expected {row['expected']:.3f})  {row['cut']} cut, {row['narrowed']} narrowed"
    )


if __name__ == "__main__":
    main()
