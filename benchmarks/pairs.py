"""Latency of compressed models beside their dense ones, in pairs of runs that take turns.

    python -m benchmarks.pairs [NAME=KIND=VALUE ...] [--samples N] [--made FILE]

Compresses each model with the default options, writes it, and times what was written beside the
dense file: some pairs of interleaved runs, on one thread, each with its medians. Prints also how
many numbers next to nothing its factors hold (none, it is hoped). `--made` times a file that is
there already.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np

import models
from benchmarks.subnormals import subnormal_factors
from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

_ROWS = ("ppocr-rec=targets=0.5",)


@click.command()
@click.argument("rows", nargs=-1)
@click.option("--samples", default=1024, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--pairs", default=5, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Of each pair.")
@click.option("--made", type=click.Path(path_type=Path), help="A compressed model of the one row.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder to write the models to.")
def main(
    rows: tuple[str, ...],
    samples: int,
    seed: int,
    pairs: int,
    seconds: float,
    made: Path | None,
    keep: Path | None,
) -> None:
    """Time the models of ROWS, or the text recogniser at targets=0.5."""
    for row in rows or _ROWS:
        name, _, budget = row.partition("=")
        recipe = models.get(name)
        with tempfile.TemporaryDirectory() as temporary:
            path = made or (keep or Path(temporary)) / f"{name}.{budget}.onnx"
            if made is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                result = factorize(
                    recipe.model_path, recipe.calib_path, budget=budget, samples=samples, seed=seed
                )
                result.save(path)
                divergence = result.report.divergence["holdout"]
                print(f"{row}, {samples} samples: divergence {divergence:.4g}", flush=True)
            _time(recipe.model_path, path, recipe.calib_path, samples, pairs, seconds)


def _time(
    dense: Path, compressed: Path, data: Path, samples: int, pairs: int, seconds: float
) -> None:
    """Prints the pairs of two files, and their median."""
    runtime = OnnxRuntime(threads=1)
    loaded = [model_io.load(path) for path in (dense, compressed)]
    sample = open_calibration(data, Signature.of(loaded[0]), Selection(samples)).typical("holdout")
    shapes = ", ".join(f"{name} {list(a.shape)}" for name, a in sample.feeds.items())
    print(f"one thread, {shapes}")
    ratios = []
    for _ in range(pairs):
        sessions = [runtime.session(model) for model in loaded]
        found = latencies(sessions, sample.feeds, seconds, samples=sample.samples)
        ratio, (before, after) = found.ratio(), found.medians
        low, high = ratio.quartiles
        ratios.append(ratio.median)
        print(
            f"  {before:.2f} → {after:.2f} ms: {ratio.median:.3f} x (quartiles {low:.3f} to "
            f"{high:.3f} of {ratio.rounds} rounds)",
            flush=True,
        )
    print(f"  median of {pairs} pairs: {np.median(ratios):.3f} x")
    print(f"  numbers below 1e-30 in factors: {subnormal_factors(compressed)}", flush=True)


if __name__ == "__main__":
    main()
