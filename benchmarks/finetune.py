"""What fine-tuning recovers: zero-shot and tuned beside each other, from one calibration.

    python -m benchmarks.finetune NAME [--keep 0.5 ...] [--samples N] [--epochs N] [--lr X]
        [--svt KIND ...] [--label-share X ...] [--precision P] [--calib PATH]

Needs `python -m models fetch NAME`. For each share of the parameters of the MatMul, Gemm and Conv
operators: the model's own metrics on its test data, dense, compressed, and compressed and tuned,
and the time that training took. With several `--svt` or `--label-share`, each has the same epochs.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from pathlib import Path

import click

import models
from onnx_factorize.options import Budget, Options, Precision, SVTKind, Training
from onnx_factorize.pipeline import calibrated, compressed
from onnx_factorize.progress import Progress
from onnx_factorize.result import Result


@click.command()
@click.argument("name")
@click.option("--keep", "keeps", multiple=True, type=float, default=(0.5, 0.25, 0.1))
@click.option("--samples", default=2048, show_default=True)
@click.option("--epochs", default=10, show_default=True)
@click.option("--lr", default=5e-4, show_default=True)
@click.option("--hidden", default=0.0, show_default=True)
@click.option("--svt", "kinds", multiple=True, default=("none",), show_default=True)
@click.option("--label-share", "shares", multiple=True, type=float, default=(0.0,))
@click.option("--precision", default="float32", show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--calib", type=click.Path(exists=True, path_type=Path), help="Other data.")
@click.option("--seed", default=0, show_default=True)
@click.option("--limit", type=int, help="Test samples to evaluate on.")
def main(
    name: str,
    keeps: tuple[float, ...],
    samples: int,
    epochs: int,
    lr: float,
    hidden: float,
    kinds: tuple[SVTKind, ...],
    shares: tuple[float, ...],
    precision: Precision,
    threads: int,
    calib: Path | None,
    seed: int,
    limit: int | None,
) -> None:
    """Run the model NAME."""
    recipe = models.get(name)
    options = Options.of(
        samples=samples,
        seed=seed,
        threads=threads,
        op_types=("MatMul", "Gemm", "Conv"),
        finetune=True,
    )
    known = calibrated(recipe.model_path, calib or recipe.calib_path, options, Progress())
    print(f"{name}, {samples} samples, {epochs} epochs, rate {lr}, seed {seed}")
    print(f"dense          {_shown(recipe.evaluate(recipe.model_path, limit))}", flush=True)
    for keep in keeps:
        asked = dataclasses.replace(options, budget=Budget("targets", keep))
        runs = {"zero-shot": dataclasses.replace(asked, finetune=False)}
        for kind, share in itertools.product(kinds, shares):
            training = Training(
                epochs, lr, svt=kind, label_share=share, hidden=hidden, precision=precision
            )
            label = "tuned" if kind == "none" else f"svt {kind}"
            label += f" labels {share:g}" if share else ""
            runs[label] = dataclasses.replace(asked, training=training)
        for label, each in runs.items():
            progress = Progress()
            start = time.process_time()
            result = compressed(known, each, progress)
            processor = time.process_time() - start
            seconds = progress.seconds.get("fine-tune", 0.0)
            divergence = result.report.divergence["holdout"]
            metrics = _shown(evaluated(recipe, result, limit))
            print(
                f"{keep:<4} {label:14} {metrics}, held-out divergence {divergence:.4g}"
                + (f", trained {seconds:.0f} s" if seconds else "")
                + f" ({processor:.0f} s of processor time in all)",
                flush=True,
            )
            if result.report.finetune is not None:
                curve = [epoch["validation"] for epoch in result.report.finetune["epochs"]]
                print(f"     validation {', '.join(f'{value:.3g}' for value in curve)}", flush=True)
                if result.report.finetune["svt"]:
                    print(f"     ranks from {result.report.finetune['ranks_from']}", flush=True)


def evaluated(recipe: models.Recipe, result: Result, limit: int | None) -> dict[str, float]:
    """The metrics of a result on the test data of its model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        result.save(path)
        return dict(recipe.evaluate(path, limit))


def _shown(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


if __name__ == "__main__":
    main()
