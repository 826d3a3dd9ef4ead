"""The before/after table of the README.

    python -m benchmarks.readme [NAME=KIND=VALUE ...] [--samples N] [--limit N]

Compresses each model with the default options and prints a row of the table: the metric against
truth of the dense and of the compressed model, size, and latency of a sample measured side by side.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

import models
from onnx_factorize import factorize

_ROWS = ("fashion-cnn=params=0.5", "minilm=params=0.5", "ppocr-rec=targets=0.75")


@click.command()
@click.argument("rows", nargs=-1)
@click.option("--samples", default=1024, show_default=True)
@click.option("--limit", default=None, type=int, help="Test samples to evaluate on.")
def main(rows: tuple[str, ...], samples: int, limit: int | None) -> None:
    """Print the table for ROWS, or for the default ones."""
    print("| model | budget | metric | dense | compressed | file size | latency | divergence |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows or _ROWS:
        name, _, budget = row.partition("=")
        recipe = models.get(name)
        result = factorize(recipe.model_path, recipe.calib_path, budget=budget, samples=samples)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            result.save(path)
            before = recipe.evaluate(recipe.model_path, limit)
            after = recipe.evaluate(path, limit)
        metric = next(iter(before))
        dense, compressed = result.report.model["dense"], result.report.model["compressed"]
        assert result.report.timing is not None
        print(
            f"| {recipe.summary} | `{budget}` | {metric} | {before[metric]:.3f} | "
            f"{after[metric]:.3f} | {dense.bytes / 1e6:.1f} → {compressed.bytes / 1e6:.1f} MB | "
            f"{result.report.timing['ratio']:.2f} x | "
            f"{result.report.divergence['holdout']:.2g} nats |",
            flush=True,
        )


if __name__ == "__main__":
    main()
