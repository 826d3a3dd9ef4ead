"""Narrowing beside factors alone, at the same budget, judged on samples that no run has seen.

    python -m benchmarks.narrowing [NAME ...] [--budget targets=0.5 ...] [--seed N ...]
        [--samples 256] [--narrow off --narrow auto] [--factors pair] [--op-type T ...]
        [--save FILE.json]

For each model, budget and seed, with each `--narrow` and each `--factors`: the divergence,
parameters and multiplications of the written model, its time over the dense model's (three
interleaved rounds on one thread), and what the search took. In the end geometric means of ratios.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks import figures
from benchmarks.effort import CALIBRATING, OUTSIDE, Judge, Processor
from onnx_factorize.options import Options, Selection
from onnx_factorize.pipeline import run


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", "budgets", multiple=True, default=("targets=0.75", "targets=0.5"))
@click.option("--seed", "seeds", multiple=True, type=int, default=(0,), show_default=True)
@click.option("--samples", default=256, show_default=True)
@click.option("--narrow", "ways", multiple=True, default=("off", "auto"), show_default=True)
@click.option("--factors", "written", multiple=True, default=("pair",), show_default=True)
@click.option("--op-type", "op_types", multiple=True, help="Operators to touch; all by default.")
@click.option("--effort", default="normal", show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    names: tuple[str, ...],
    budgets: tuple[str, ...],
    seeds: tuple[int, ...],
    samples: int,
    ways: tuple[str, ...],
    written: tuple[str, ...],
    op_types: tuple[str, ...],
    effort: str,
    save: Path | None,
) -> None:
    """Run the models NAMES, or all."""
    rows: list[dict[str, Any]] = []
    both = list(itertools.product(ways, written))
    for name in names or models.names():
        for seed in seeds:
            judge = Judge(models.get(name), Selection(samples=samples, seed=seed))
            for budget in budgets:
                for narrow, factors in both:
                    options = Options.of(
                        budget=budget,
                        narrow=narrow,
                        factors=factors,
                        op_types=op_types,
                        effort=effort,
                        seed=seed,
                        samples=samples,
                        prefer=None if budget.startswith("latency") else "size",
                        threads=1,
                        best_effort=True,
                    )
                    row = {"model": name, "budget": budget, "seed": seed}
                    row |= {"narrow": narrow, "factors": factors}
                    rows.append(row | _measured(name, options, judge))
                    print(_line(rows[-1]), flush=True)
                    figures.write(save, rows)
    for other in both[1:]:
        _compare(rows, both[0], other)


def _measured(name: str, options: Options, judge: Judge) -> dict[str, Any]:
    recipe, progress = models.get(name), Processor()
    start = time.process_time()
    result = run(recipe.model_path, recipe.calib_path, options, progress)
    total, stages = time.process_time() - start, progress.processor
    calibrating = sum(stages.get(stage, 0.0) for stage in CALIBRATING)
    work = total - sum(stages.get(stage, 0.0) for stage in OUTSIDE)
    costs, report = result.report.model, result.report
    narrowed = [each for each in report.layers if each.status == "narrowed"]
    return {
        "divergence": judge.divergence(result.model),
        "params": costs["compressed"].params / costs["dense"].params,
        "macs": costs["compressed"].macs / costs["dense"].macs,
        "time": (report.timing or {}).get("ratio"),
        "work": work / calibrating,
        "processor": total,
        "narrowed": len(narrowed),
        "plan": report.divergence.get("plan"),
        "tried": report.divergence["tried"],
        "stages": stages,
    }


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['model']:18s} {row['budget']:13s} {row['narrow']:5s}{row['factors']:9s}"
        f"seed {row['seed']}  "
        f"{row['divergence']:.4f} nats  params {row['params']:.3f}  macs {row['macs']:.3f}  "
        f"time {row['time'] or 1:.3f}  work {row['work']:.1f} C  {row['plan']}, "
        f"{row['narrowed']} narrowed"
    )


def _compare(rows: list[dict[str, Any]], one: tuple[str, str], other: tuple[str, str]) -> None:
    """Prints the ratios of one way to the other, model by model, and their geometric mean."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if (row["narrow"], row["factors"]) == other:
            key = row["model"], row["budget"], row["seed"]
            beside = next(
                each
                for each in rows
                if (each["narrow"], each["factors"]) == one
                and (each["model"], each["budget"], each["seed"]) == key
            )
            found.setdefault(key[:2], []).append(row["divergence"] / beside["divergence"])
    for (name, budget), ratios in found.items():
        print(
            f"{name:18s} {budget:13s} {' '.join(other)} / {' '.join(one)}: "
            f"{np.round(ratios, 3).tolist()}"
        )
    every = [np.log(ratio) for ratios in found.values() for ratio in ratios]
    if every:
        print(f"geometric mean {np.exp(np.mean(every)):.3f} of {len(every)} runs")


if __name__ == "__main__":
    main()
