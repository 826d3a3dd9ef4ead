"""Budgets of time: what was asked, predicted and measured, and what multiplications would bring.

    python -m benchmarks.latency [NAME ...] [--budget 0.7 ...] [--weighting activation]

For each model and budget: the latency that was predicted and measured while the model was made, and
once more at the end, in longer runs that take turns with the dense model; and the divergence. Then
the same for some budgets of multiplications, to read off what those cost at the same latency.
"""

from __future__ import annotations

import dataclasses
import time

import click

import models
from onnx_factorize import BudgetError, Progress
from onnx_factorize.allocation.calibrated import Calibrated
from onnx_factorize.options import Budget, Options
from onnx_factorize.pipeline import calibrated, compressed
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.runtimes import runtime_of

_NAMES = ("minilm", "efficientnet-lite0", "ppocr-rec", "fashion-resnet")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", "budgets", type=float, multiple=True, default=[0.7, 0.5])
@click.option("--macs", type=float, multiple=True, default=[0.8, 0.6, 0.45, 0.3])
@click.option("--weighting", default="fisher", show_default=True)
@click.option("--samples", default=256, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of the last measurement.")
def main(
    names: tuple[str, ...],
    budgets: tuple[float, ...],
    macs: tuple[float, ...],
    weighting: str,
    samples: int,
    threads: int,
    seconds: float,
) -> None:
    """Run the models NAMES, or four."""
    print(f"{weighting}, {samples} samples, {threads} threads")
    print("| model | budget | predicted | measured | once more | off by | divergence | made in |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names or _NAMES:
        recipe = models.get(name)
        first = Options.of(
            budget=f"latency={budgets[0]}", weighting=weighting, samples=samples, threads=threads
        )
        known = calibrated(recipe.model_path, recipe.calib_path, first, Progress())
        wanted = [Budget("latency", value) for value in budgets]
        for budget in (*wanted, *(Budget("macs", value) for value in macs)):
            _row(name, known, dataclasses.replace(first, budget=budget), seconds)


def _row(name: str, known: Calibrated, options: Options, seconds: float) -> None:
    start = time.perf_counter()
    try:
        result = compressed(known, options, Progress())
    except BudgetError as error:
        print(f"| {name} | `{options.budget}` | {error} | | | | | |", flush=True)
        return
    made = time.perf_counter() - start
    feeds = known.data.typical("holdout").feeds
    pair = [runtime_of(options.runtime).session(model) for model in (known.dense, result.model)]
    found = latencies(pair, feeds, seconds).ratio()
    met = result.report.latency
    said = ["", "", ""]
    if met is not None:
        off = found.median / met["asked"] - 1
        measured = f"{met['measured']:.3f}, {len(met['tried'])} models"
        said = [f"{met['predicted']:.3f}", measured, f"{off:+.1%}"]
    divergence = result.report.divergence["holdout"]
    print(
        f"| {name} | `{options.budget}` | {said[0]} | {said[1]} | {found.median:.3f} | "
        f"{said[2]} | {divergence:.4g} | {made:.0f} s |",
        flush=True,
    )


if __name__ == "__main__":
    main()
