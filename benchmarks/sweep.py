"""Every real model through a sweep: what it loses, how long it takes, and whether its page opens.

    python -m benchmarks.sweep [NAME ...] [--budget params=0.9 ...] [--weighting fisher]
        [--prefer latency] [--pages FOLDER]

Needs `python -m models fetch all`. For each model and budget: the held-out divergence, and the
latency of one sample as a share of the dense model's, both taking turns for some seconds. With
`--pages`, the HTML report of each result goes there, and is opened in headless Chromium at 1280 and
390 pixels: its size is printed, and what the browser complained of or what stuck out.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

import models
from onnx_factorize import BudgetError, Progress
from onnx_factorize.files.writing import writing
from onnx_factorize.options import Budget, Options
from onnx_factorize.pipeline import calibrated, compressed
from onnx_factorize.report.report_files import write_report
from onnx_factorize.result import Result
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.runtimes import runtime_of
from tests.browser import see

_BUDGETS = [f"params={share}" for share in (0.9, 0.75, 0.5, 0.35)]
_WIDTHS = (1280, 390)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", "budgets", multiple=True, default=_BUDGETS)
@click.option("--weighting", default="fisher", show_default=True)
@click.option("--prefer", help="size or latency; by default what the tool does by itself.")
@click.option("--samples", default=128, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="How long to time each pair.")
@click.option("--pages", type=click.Path(file_okay=False, path_type=Path))
def main(
    names: tuple[str, ...],
    budgets: tuple[str, ...],
    weighting: str,
    prefer: str | None,
    samples: int,
    threads: int,
    seconds: float,
    pages: Path | None,
) -> None:
    """Run the models NAMES, or all."""
    print(f"{weighting}, {samples} samples, {threads} threads, --prefer {prefer or '(default)'}")
    print("| model | budget | divergence | latency | page |")
    print("|---|---|---|---|---|")
    for name in names or models.names():
        recipe = models.get(name)
        first = Options.of(
            weighting=weighting,
            samples=samples,
            threads=threads,
            budget=budgets[0],
            prefer=prefer,
        )
        known = calibrated(recipe.model_path, recipe.calib_path, first, Progress())
        feeds = known.data.typical("holdout").feeds
        for budget in budgets:
            options = dataclasses.replace(first, budget=Budget.parse(budget))
            try:
                result = compressed(known, options, Progress())
            except BudgetError as error:
                print(f"| {name} | `{budget}` | {error} | | |", flush=True)
                continue
            pair = [
                runtime_of(options.runtime).session(model) for model in (known.dense, result.model)
            ]
            found = latencies(pair, feeds, seconds).ratio()
            page = "" if pages is None else _seen(result, pages / f"{name}-{budget}.html")
            print(
                f"| {name} | `{budget}` | {result.report.divergence['holdout']:.3g} "
                f"| {found.median:.3f} | {page} |",
                flush=True,
            )


def _seen(result: Result, page: Path) -> str:
    """What a browser makes of the page of a result."""
    page.parent.mkdir(parents=True, exist_ok=True)
    with writing() as files:
        write_report(result.report, page, files)
    faults = []
    for width in _WIDTHS:
        seen = see(page, width)
        faults += seen.complaints
        if seen.sticking_out or seen.width > width:
            faults.append(f"{seen.sticking_out} boxes stick out at {width} pixels")
    return f"{page.stat().st_size / 1e3:.0f} kB, {'; '.join(faults) or 'no complaint'}"


if __name__ == "__main__":
    main()
