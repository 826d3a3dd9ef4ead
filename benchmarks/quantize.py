"""Dense, int8 alone, factorized, factorized + int8: quality, bytes and latency.

    python -m benchmarks.quantize [NAME=KIND=VALUE[,VALUE ...] ...] [--samples N] [--limit N]
        [--threads N] [--made FILE] [--save FILE.json]

For each model it prints a row of dense, of int8, and of each budget without and with int8, which is
what `--quantize int8` does in all rows: onnxruntime's dynamic quantizer where matrix products do
most of the work, its static one where convolutions do. One calibration serves all budgets of a
model. With `--made`, the factorized model is one that was made before (and trained, perhaps), of
the budget that the row names. The divergence is on calibration samples that no run has seen;
latency is of one sample, the models taking turns, as shares of the dense one's. `--save` keeps what
`python -m benchmarks.front` draws.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import onnx_ir as ir

import models
from benchmarks import figures
from benchmarks.effort import Judge
from onnx_factorize import __version__, sweep
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Budget, Selection
from onnx_factorize.quantization.quantizers import mode_of, quantize
from onnx_factorize.runtime.arithmetic import count_arithmetic
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.sweeping import budgets_of

_ROWS = ("minilm=targets=0.75", "ppocr-rec=targets=0.75", "fashion-resnet=targets=0.6")


@click.command()
@click.argument("rows", nargs=-1)
@click.option("--samples", default=640, show_default=True)
@click.option("--limit", default=None, type=int, help="Test samples to evaluate on.")
@click.option("--threads", default=1, show_default=True)
@click.option("--made", type=click.Path(exists=True, path_type=Path), help="For a single row.")
@click.option("--seconds", default=8.0, show_default=True, help="How long to time each model.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    rows: tuple[str, ...],
    samples: int,
    limit: int | None,
    threads: int,
    made: Path | None,
    seconds: float,
    save: Path | None,
) -> None:
    """Print the table for ROWS, or for the default ones."""
    found: list[dict[str, Any]] = []
    print("| model | variant | metric | divergence | file size | latency |")
    print("|---|---|---|---|---|---|")
    for row in rows or _ROWS:
        name, kind, values = row.split("=")
        selection = Selection(samples=samples, batch_size=16)
        budgets = budgets_of(kind, values)
        for each in _measured(name, budgets, selection, limit, threads, made, seconds):
            found.append(each)
            print(_line(each), flush=True)
            figures.write(save, found)


def _measured(
    name: str,
    budgets: list[Budget],
    selection: Selection,
    limit: int | None,
    threads: int,
    made: Path | None,
    seconds: float,
) -> Iterator[dict[str, Any]]:
    recipe, runtime = models.get(name), OnnxRuntime(threads=threads)
    dense, judge = model_io.load(recipe.model_path), Judge(recipe, selection)
    run = runtime.session(dense).run
    data = open_calibration(recipe.calib_path, Signature.of(dense), selection, run=run)
    sample = data.typical("holdout")
    mode = mode_of("int8", dense, count_arithmetic(dense, sample.feeds, runtime).nodes)
    if made is not None:
        small = [model_io.load(made)]
    else:
        results = sweep(
            recipe.model_path,
            recipe.calib_path,
            budgets,
            samples=selection.samples,
            batch_size=selection.batch_size,
            threads=threads,
        )
        small = [result.model for result in results]
    variants: dict[tuple[str, str | None], ir.Model] = {
        ("", None): dense,
        ("", mode): quantize(dense, mode, data),
    }
    for budget, model in zip(budgets, small, strict=True):
        variants[str(budget), None] = model
        variants[str(budget), mode] = quantize(model, mode, data)
    sessions = [runtime.session(model) for model in variants.values()]
    times = latencies(sessions, sample.feeds, len(sessions) * seconds).medians
    for ((made_by, way), model), time in zip(variants.items(), times, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            model_io.save(model, path)
            size, quality = path.stat().st_size, recipe.evaluate(path, limit)
        metric, value = next(iter(quality.items()))
        yield {
            "model": name,
            "summary": recipe.summary,
            "budget": made_by,
            "int8": way,
            "metric": metric,
            "value": value,
            "divergence": judge.divergence(model),
            "bytes": size,
            "milliseconds": time,
            "ratio": time / times[0],
            "samples": selection.samples,
            "version": __version__,
            "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        }


def _line(row: dict[str, Any]) -> str:
    made = f"`{row['budget']}`" if row["budget"] else ""
    way = f"int8 ({row['int8']})" if row["int8"] else ""
    return (
        f"| {row['model']} | {' + '.join(filter(None, (made, way))) or 'dense'} | "
        f"{row['metric']} {row['value']:.3f} | {row['divergence']:.2g} | "
        f"{row['bytes'] / 1e6:.2f} MB | {row['milliseconds']:.2f} ms ({row['ratio']:.2f} x) |"
    )


if __name__ == "__main__":
    main()
