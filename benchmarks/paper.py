"""The seed paper's claims on real models: first projections, and what training makes of them.

    python -m benchmarks.paper [NAME ...] [--keep 0.5 ...] [--seed 0 ...]
        [--projection NAME ...] [--samples N] [--epochs N] [--lr X]
        [--limit N] [--save FILE]
    python -m benchmarks.paper --docs FILE.json ...    # writes the tables of docs/research/paper.md

Needs `python -m models fetch all`. For each model, seed, and share of the parameters of the
MatMul, Gemm and Conv operators: plain SVD, FWSVD and the two-sided Fisher information, zero-shot
and tuned, and iterative singular value thresholding (hard, soft and reweighted) at the cost of the
last. All that is trained has the same samples, epochs and rate. The paper is arXiv 2507.09428.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx_ir as ir

import models
from benchmarks import figures
from onnx_factorize.allocation.calibrated import Calibrated
from onnx_factorize.errors import BudgetError
from onnx_factorize.evaluation import compare_outputs
from onnx_factorize.files import model_io
from onnx_factorize.finetune.recovery import recover
from onnx_factorize.meet_goal import meet_goal
from onnx_factorize.options import Budget, Options
from onnx_factorize.parallel import one_blas_thread
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.runtimes import runtime_of

DOCS = Path(__file__).parent.parent / "docs" / "research" / "paper.md"
NAMES = ("fashion-resnet", "fashion-vit", "minilm", "ppocr-rec")
KEEPS = (0.5, 0.25, 0.1)

# As published: the first two give all operators alike, the third allocates ranks by loss.
PROJECTIONS: dict[str, dict[str, Any]] = {
    "plain SVD": {"weighting": "none", "ranks": "uniform"},
    "FWSVD": {"weighting": "diagonal", "ranks": "uniform"},
    "two-sided Fisher": {"weighting": "fisher", "ranks": "global"},
}
THRESHOLDS = ("hard", "soft", "reweighted")
BEGIN, END = "<!-- table: benchmarks.paper -->", "<!-- end of the table -->"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--keep", "keeps", multiple=True, type=float, default=KEEPS)
@click.option(
    "--projection", "projections", multiple=True, default=tuple(PROJECTIONS), show_default=True
)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
@click.option("--samples", default=3072, show_default=True)
@click.option("--epochs", default=4, show_default=True)
@click.option("--lr", default=1e-3, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--limit", type=int, help="Test samples to evaluate on.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--docs", is_flag=True, help="NAMES are files of figures: write them to the page.")
def main(
    names: tuple[str, ...],
    keeps: tuple[float, ...],
    projections: tuple[str, ...],
    seeds: tuple[int, ...],
    samples: int,
    epochs: int,
    lr: float,
    threads: int,
    limit: int | None,
    save: Path | None,
    docs: bool,
) -> None:
    """Run the models NAMES, or all."""
    if docs:
        write_docs(figures.read(names))
        return
    print(
        f"{samples} samples, {epochs} epochs at rate {lr:g}, seeds {', '.join(map(str, seeds))}, "
        f"{threads} threads, {limit or 'all'} test samples"
    )
    rows, start = [], time.monotonic()
    # Seed by seed, so that what is there when it is stopped is worth a table.
    for seed in seeds:
        for name in names or NAMES:
            options = Options.of(
                samples=samples,
                seed=seed,
                threads=threads,
                op_types=("MatMul", "Gemm", "Conv"),
                prefer="size",
                finetune=True,
                epochs=epochs,
                learning_rate=lr,
            )
            for row in measured(name, options, keeps, projections, limit):
                rows.append(row)
                print(line(row), flush=True)
                figures.write(save, rows)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


def measured(
    name: str,
    options: Options,
    keeps: tuple[float, ...],
    projections: tuple[str, ...],
    limit: int | None,
) -> Iterator[dict[str, Any]]:
    """The figures of one model and seed."""
    recipe, training = models.get(name), options.training
    shared = {
        "model": name,
        "seed": options.selection.seed,
        "samples": options.selection.samples,
        "epochs": training.epochs,
        "lr": training.learning_rate,
    }
    dense = recipe.evaluate(recipe.model_path, limit)
    yield shared | {"method": "dense", "trained": False, "keep": 1.0, "metrics": dense}
    for method in projections:
        asked = dataclasses.replace(options, **PROJECTIONS[method])
        known = calibrated(recipe.model_path, recipe.calib_path, asked, Progress())
        kinds = ("none", *(THRESHOLDS if method == "two-sided Fisher" else ()))
        for keep in keeps:
            at = dataclasses.replace(asked, budget=Budget("targets", keep))
            for kind, row in _outcomes(recipe, known, at, kinds, limit):
                label = method if kind in (None, "none") else f"SVT {kind}"
                own = {"method": label, "trained": kind is not None, "keep": keep}
                yield shared | own | row


@one_blas_thread
def _spent(known: Calibrated, options: Options) -> tuple[Any, ...]:
    sample = known.data.typical("holdout")
    dense = runtime_of(options.runtime).session(known.dense)
    found = meet_goal(known, dense, sample, options, Progress())
    return found.model, found.plan


@one_blas_thread
def _recovered(known: Calibrated, model: ir.Model, plan: Any, options: Options) -> tuple[Any, ...]:
    model, _, recovery = recover(known, model.clone(), plan, options, Progress())
    return model, recovery


def _outcomes(
    recipe: models.Recipe,
    known: Calibrated,
    options: Options,
    kinds: tuple[Any, ...],
    limit: int | None,
) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """What comes of one budget: untrained (None), tuned (`none`) and under thresholding."""
    try:
        model, plan = _spent(known, options)
    except BudgetError as error:
        for kind in (None, *kinds):
            yield kind, {"metrics": None, "why": str(error)}
        return
    yield None, _judged(recipe, known, model, options, limit)
    for kind in kinds:
        training = dataclasses.replace(options.training, svt=kind)
        start = time.monotonic()
        trained, recovery = _recovered(
            known, model, plan, dataclasses.replace(options, training=training)
        )
        row = {"seconds": time.monotonic() - start, "ranks_from": recovery.ranks_from}
        yield kind, row | _judged(recipe, known, trained, options, limit)


def _judged(
    recipe: models.Recipe, known: Calibrated, model: ir.Model, options: Options, limit: int | None
) -> dict[str, Any]:
    """The model's own metrics on test data, and its divergence on held-out samples."""
    runtime = runtime_of(options.runtime)
    pair = runtime.session(known.dense), runtime.session(model)
    holdout = compare_outputs(*pair, known.outputs, known.data, "holdout")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model_io.save(model, path, external=model_io.is_external(known.dense))
        return {"metrics": recipe.evaluate(path, limit), "divergence": holdout.divergence}


def line(row: dict[str, Any]) -> str:
    """One row, for people."""
    metrics = row["metrics"] or {}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()) or "out of reach"
    way = "tuned" if row["trained"] else "zero-shot"
    tail = f", held-out divergence {row['divergence']:.4g}" if "divergence" in row else ""
    tail += f", {row['seconds']:.0f} s, ranks from {row['ranks_from']}" if "seconds" in row else ""
    name = f"{row['model']:15} seed {row['seed']} keep {row['keep']:<4} {row['method']:17} {way:9}"
    return f"{name} {shown}{tail}"


def write_docs(rows: list[dict[str, Any]]) -> None:
    """Puts the tables into the page, between their marks."""
    cells: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
    order: dict[str, list[str]] = defaultdict(list)
    titles = {}
    for row in rows:
        way = "" if row["method"] == "dense" else " tuned" if row["trained"] else " zero-shot"
        method = row["method"] + ("" if row["method"].startswith("SVT") else way)
        if method not in order[row["model"]]:
            order[row["model"]].append(method)
        here = cells[row["model"], method, row["keep"]]  # empty if the budget is out of reach
        if row["metrics"]:
            metric, value = next(iter(row["metrics"].items()))
            here.append((value, row.get("divergence", 0.0)))
            titles[row["model"]] = (
                f"{row['model']}: {metric}, and held-out divergence; {row['samples']:,} samples, "
                f"{row['epochs']} epochs at rate {row['lr']:g}"
            )
    text = []
    for model, methods in order.items():
        keeps = sorted({k for m, _, k in cells if m == model and k < 1}, reverse=True)
        seeds = max(len(values) for key, values in cells.items() if key[0] == model)
        dense = float(np.mean(cells[model, "dense", 1.0], axis=0)[0])
        text += ["", f"**{titles[model]}; seeds: {seeds}; dense {dense:.4f}**", ""]
        text.append("| method | " + " | ".join(f"{keep:g}" for keep in keeps) + " |")
        text.append("|---|" + "---|" * len(keeps))
        for method in methods:
            if method != "dense":
                found = [_cell(cells.get((model, method, keep))) for keep in keeps]
                text.append(f"| {method} | " + " | ".join(found) + " |")
    page = DOCS.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    DOCS.write_text(before + BEGIN + "\n".join(text) + "\n\n" + END + after)


def _cell(values: list[tuple[float, float]] | None) -> str:
    """The mean of the metric, half of its range over the seeds, and the mean of the divergence."""
    if values is None:
        return "not run"
    if not values:
        return "out of reach"
    metric, divergence = np.array(values).T
    spread = f" ± {np.ptp(metric) / 2:.3f}" if len(values) > 1 else ""
    return f"{metric.mean():.3f}{spread}, {divergence.mean():.3g}"


if __name__ == "__main__":
    main()
