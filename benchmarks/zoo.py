"""Every real model of `models/` through `inspect` and through budgets, checked.

    python -m benchmarks.zoo [NAME ...] [--weighting activation] [--budget targets=0.75 ...]

Needs `python -m models fetch all`. For each model and budget it prints the share of the budgeted
cost that was reached, the held-out divergence, the agreement, and what is wrong with the result
(nothing, it is hoped): the checker's complaints, changed inputs or outputs, a budget missed by
more than 1 %, factors with numbers next to nothing, which processors are slow with.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
import onnx
import onnxruntime

import models
from benchmarks.subnormals import subnormal_factors
from onnx_factorize import factorize
from onnx_factorize.report.inspection import inspect


@click.command()
@click.argument("names", nargs=-1)
@click.option("--weighting", default="activation", show_default=True)
@click.option("--ranks", default="global", show_default=True)
@click.option("--budget", "budgets", multiple=True, default=["targets=0.75", "targets=0.5"])
@click.option("--samples", default=256, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    names: tuple[str, ...],
    weighting: str,
    ranks: str,
    budgets: tuple[str, ...],
    samples: int,
    seed: int,
) -> None:
    """Run the models NAMES, or all."""
    print(f"{weighting}, {ranks}, {samples} samples, seed {seed}")
    print(
        f"{'model':18} {'targets':>13} {'budget':13} {'reached':>8} {'predicted':>10} "
        f"{'divergence':>10} {'agreement':>9} {'seconds':>7}  faults"
    )
    for name in names or models.names():
        recipe = models.get(name)
        found = inspect(recipe.model_path)
        targets = sum(layer.status == "kept" for layer in found.layers)
        share = f"{targets:3} ({found.target_params / found.params:6.1%})"
        for budget in budgets:
            start = time.perf_counter()
            result = factorize(
                recipe.model_path,
                recipe.calib_path,
                budget=budget,
                weighting=weighting,
                ranks=ranks,
                samples=samples,
                seed=seed,
            )
            seconds = time.perf_counter() - start
            report = result.report
            before = sum(layer.params[0] for layer in report.layers if layer.status != "skipped")
            after = sum(layer.params[1] for layer in report.layers if layer.status != "skipped")
            outputs = report.divergence["outputs"].values()
            agreement = [o["agreement"] for o in outputs if o["agreement"] is not None]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                result.save(path)
                faults = _faults(recipe.model_path, path)
            if budget.startswith("targets="):
                asked = float(budget.partition("=")[2])
                if not asked - 0.01 <= after / before <= asked:
                    faults.append("misses its budget")
            predicted = report.divergence["predicted"]
            print(
                f"{name:18} {share:>13} {budget:13} {after / before:8.4f} "
                f"{'' if predicted is None else format(predicted, '.4g'):>10} "
                f"{report.divergence['holdout']:10.4g} "
                f"{'' if not agreement else format(agreement[0], '.3f'):>9} {seconds:7.1f}  "
                f"{'; '.join(faults) or '-'}",
                flush=True,
            )


def _faults(dense: Path, compressed: Path) -> list[str]:
    """What is wrong with a compressed model."""
    faults = []
    before, after = onnx.load(dense), onnx.load(compressed)
    try:
        onnx.checker.check_model(after, full_check=True)
    except onnx.checker.ValidationError as error:
        faults.append(f"checker: {str(error).splitlines()[0]}")
    onnxruntime.InferenceSession(str(compressed), providers=["CPUExecutionProvider"])
    initializers = {tensor.name for tensor in before.graph.initializer}
    if [i for i in before.graph.input if i.name not in initializers] != list(after.graph.input):
        faults.append("inputs changed")
    if list(before.graph.output) != list(after.graph.output):
        faults.append("outputs changed")
    if before.opset_import != after.opset_import or before.ir_version != after.ir_version:
        faults.append("opset or IR version changed")
    numbers = subnormal_factors(compressed)
    if numbers:
        faults.append(f"{numbers} numbers below 1e-30 in factors")
    return faults


if __name__ == "__main__":
    main()
