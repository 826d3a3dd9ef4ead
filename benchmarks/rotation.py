"""What rounding adds to the divergence: of dense weights, of plain factors, of rotated ones.

    python -m benchmarks.rotation [NAME=KIND=VALUE ...] [--bits int8 ...] [--samples 128] [--seed 0]

For each model and budget, judged on samples that no run has seen: the divergence that 8, 7 (of 8
bits, where sums of products saturate) and 4 bits add to that of the model they are rounded of; in 4
bits each number to the nearest level, and as GPTQ does on the calibration samples.
"""

from __future__ import annotations

import dataclasses

import click

import models
from benchmarks.effort import Judge
from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.quantization.operand_moments import OperandMoments
from onnx_factorize.quantization.quantizers import mode_of, quantize
from onnx_factorize.quantization.rounding import FULL, REDUCED, ROTATED, Rounding
from onnx_factorize.runtime.arithmetic import count_arithmetic
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

_ROWS = ("minilm=targets=0.75", "fashion-vit=targets=0.5", "fashion-resnet=targets=0.5")


@click.command()
@click.argument("rows", nargs=-1)
@click.option("--bits", multiple=True, default=("int8", "int4"), show_default=True)
@click.option("--samples", default=128, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(rows: tuple[str, ...], bits: tuple[str, ...], samples: int, seed: int) -> None:
    """Print what rounding adds, for ROWS or for the default ones."""
    runtime, selection = OnnxRuntime(threads=1), Selection(samples=samples, seed=seed)
    for row in rows or _ROWS:
        name, _, budget = row.partition("=")
        recipe = models.get(name)
        judge = Judge(recipe, selection)
        dense = model_io.load(recipe.model_path)
        made = factorize(
            recipe.model_path,
            recipe.calib_path,
            budget=budget,
            samples=samples,
            seed=seed,
            threads=1,
            factors="pair",
        ).model
        run = runtime.session(dense).run
        data = open_calibration(recipe.calib_path, Signature.of(dense), selection, run=run)
        nodes = count_arithmetic(dense, data.typical("holdout").feeds, runtime).nodes
        start = judge.divergence(made)
        for each in bits:
            mode = mode_of(each, dense, nodes)
            for label, rotated in _ways(each, OperandMoments(data, data.some(256), runtime)):
                plain = dataclasses.replace(rotated, rotated=False)
                variants = ((dense, 0.0, plain), (made, start, plain), (made, start, rotated))
                added = [
                    judge.divergence(quantize(model, mode, data, rounding=rounding)) - before
                    for model, before, rounding in variants
                ]
                print(
                    f"{name:18s} {budget:13s} {start:.4g} nats; {label} ({mode}) add {added[0]:.3g}"
                    f" to the dense model, {added[1]:.3g} to plain factors, {added[2]:.3g} to "
                    "rotated ones",
                    flush=True,
                )


def _ways(bits: str, moments: OperandMoments) -> list[tuple[str, Rounding]]:
    """The ways to round to so many bits, each with what is printed of it."""
    if bits == "int8":
        return [("8 bits", FULL), ("7 bits", REDUCED)]
    return [("4 bits", ROTATED), ("4 bits, GPTQ", ROTATED.fitted(moments))]


if __name__ == "__main__":
    main()
