"""Dense, int8 alone, factorized, factorized + int8: quality, bytes and latency.

    python -m benchmarks.quantize [NAME=KIND=VALUE ...] [--samples N] [--limit N] [--threads N]
        [--made FILE]

For each model and budget it prints four rows of the README's table. Int8 is what `--quantize int8`
does, in both rows: onnxruntime's dynamic quantizer where matrix products do most of the work, its
static one where convolutions do. With `--made`, the factorized model is one that was made before
(and trained, perhaps), of the budget that the row names. Latency is of one sample, the four models
taking turns.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import onnx_ir as ir

import models
from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.quantization.quantizers import mode_of, quantize
from onnx_factorize.runtime.arithmetic import count_arithmetic
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

_ROWS = ("minilm=targets=0.75", "ppocr-rec=targets=0.75", "fashion-resnet=targets=0.6")


@click.command()
@click.argument("rows", nargs=-1)
@click.option("--samples", default=640, show_default=True)
@click.option("--limit", default=None, type=int, help="Test samples to evaluate on.")
@click.option("--threads", default=1, show_default=True)
@click.option("--made", type=click.Path(exists=True, path_type=Path), help="For a single row.")
@click.option("--seconds", default=8.0, show_default=True, help="How long to time each model.")
def main(
    rows: tuple[str, ...],
    samples: int,
    limit: int | None,
    threads: int,
    made: Path | None,
    seconds: float,
) -> None:
    """Print the table for ROWS, or for the default ones."""
    print("| model | variant | metric | file size | latency |")
    print("|---|---|---|---|---|")
    for row in rows or _ROWS:
        name, _, budget = row.partition("=")
        recipe = models.get(name)
        runtime, selection = OnnxRuntime(threads=threads), Selection(samples=samples, batch_size=16)
        dense = model_io.load(recipe.model_path)
        run = runtime.session(dense).run
        data = open_calibration(recipe.calib_path, Signature.of(dense), selection, run=run)
        sample = data.typical("holdout")
        mode = mode_of("int8", dense, count_arithmetic(dense, sample.feeds, runtime).nodes)
        if made is not None:
            small = model_io.load(made)
        else:
            small = factorize(
                recipe.model_path,
                recipe.calib_path,
                budget=budget,
                samples=samples,
                batch_size=16,
                threads=threads,
            ).model
        variants: dict[str, ir.Model] = {
            "dense": dense,
            f"int8 ({mode})": quantize(dense, mode, data),
            f"`{budget}`": small,
            f"`{budget}` + int8": quantize(small, mode, data),
        }
        sessions = [runtime.session(model) for model in variants.values()]
        times = latencies(sessions, sample.feeds, 4 * seconds).medians
        for (variant, model), time in zip(variants.items(), times, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                model_io.save(model, path)
                size = path.stat().st_size
                quality = recipe.evaluate(path, limit)
            metric, value = next(iter(quality.items()))
            print(
                f"| {name} | {variant} | {metric} {value:.3f} | {size / 1e6:.2f} MB | "
                f"{time:.2f} ms ({time / times[0]:.2f} x) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
