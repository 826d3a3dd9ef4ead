"""The seed paper's claims on real models: first projections, and what training makes of them.

    python -m benchmarks.paper [NAME ...] [--keep 0.5 ...] [--seeds 3] [--epochs 6] [--save FILE]
    python -m benchmarks.paper --docs FILE.json ...    # writes the table of docs/paper.md

Needs `python -m models fetch all`. For each model, seed, and share of the parameters of the
MatMul, Gemm and Conv operators: plain SVD, FWSVD and the two-sided Fisher information, zero-shot
and tuned, and iterative singular value thresholding from the dense weights (hard, soft and
reweighted). All that is trained has the same samples and epochs; thresholding spends half of them
on the ranks. The paper is arXiv 2507.09428.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks.finetune import evaluated
from onnx_factorize.budget import Budget
from onnx_factorize.errors import BudgetError
from onnx_factorize.options import Options
from onnx_factorize.pipeline import Calibrated, calibrated, compressed
from onnx_factorize.progress import Progress
from onnx_factorize.recovery import Training

DOCS = Path(__file__).parent.parent / "docs" / "paper.md"
NAMES = ("fashion-resnet", "fashion-vit", "minilm", "ppocr-rec")
KEEPS = (0.5, 0.25, 0.1)

# As published: the first two give all operators alike, the third buys ranks where they lose least.
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
@click.option("--seeds", default=3, show_default=True)
@click.option("--samples", default=4096, show_default=True)
@click.option("--epochs", default=6, show_default=True)
@click.option("--lr", default=1e-3, show_default=True)
@click.option("--limit", type=int, help="Test samples to evaluate on.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--docs", is_flag=True, help="NAMES are files of figures: write them to the page.")
def main(
    names: tuple[str, ...],
    keeps: tuple[float, ...],
    seeds: int,
    samples: int,
    epochs: int,
    lr: float,
    limit: int | None,
    save: Path | None,
    docs: bool,
) -> None:
    """Run the models NAMES, or all."""
    if docs:
        write_docs([row for name in names for row in json.loads(Path(name).read_text())])
        return
    rows = []
    for name in names or NAMES:
        for seed in range(seeds):
            for row in measured(name, seed, samples, Training(epochs, lr), keeps, limit):
                rows.append(row)
                print(line(row), flush=True)
                if save:
                    save.write_text(json.dumps(rows, indent=1))


def measured(
    name: str,
    seed: int,
    samples: int,
    training: Training,
    keeps: tuple[float, ...],
    limit: int | None,
) -> Iterator[dict[str, Any]]:
    """The figures of one model and seed."""
    recipe = models.get(name)
    shared: dict[str, Any] = {"model": name, "seed": seed, "epochs": training.epochs}
    dense = recipe.evaluate(recipe.model_path, limit)
    yield shared | {"method": "dense", "trained": False, "keep": 1.0, "metrics": dense}
    for method, how in PROJECTIONS.items():
        options = Options.of(
            samples=samples,
            seed=seed,
            op_types=("MatMul", "Gemm", "Conv"),
            **dataclasses.asdict(training),
            **how,
        )
        known = calibrated(recipe.model_path, recipe.calib_path, options, Progress())
        kinds = (None, "none", *(THRESHOLDS if method == "two-sided Fisher" else ()))
        for keep in keeps:
            asked = dataclasses.replace(options, budget=Budget("targets", keep))
            for kind in kinds:
                found = _outcome(recipe, known, asked, kind, limit)
                label = method if kind in (None, "none") else f"SVT {kind}"
                row = {"method": label, "trained": kind is not None, "keep": keep}
                yield shared | row | found


def _outcome(
    recipe: models.Recipe,
    known: Calibrated,
    options: Options,
    kind: str | None,
    limit: int | None,
) -> dict[str, Any]:
    """What comes of one budget, untrained (None), tuned (`none`) or under thresholding."""
    if kind is not None:
        training = dataclasses.replace(options.training, svt=kind)  # type: ignore[arg-type]  # a name
        options = dataclasses.replace(options, finetune=True, training=training)
    progress = Progress()
    try:
        result = compressed(known, options, progress)
    except BudgetError as error:
        return {"metrics": None, "why": str(error)}
    finetune = result.report.finetune
    return {
        "metrics": evaluated(recipe, result, limit),
        "divergence": result.report.divergence["holdout"],
        "seconds": progress.seconds.get("fine-tune", 0.0),
        "ranks_from": None if finetune is None else finetune["ranks_from"],
    }


def line(row: dict[str, Any]) -> str:
    """One row, for people."""
    metrics = row["metrics"] or {}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()) or "out of reach"
    way = "tuned" if row["trained"] else "zero-shot"
    tail = f", ranks from {row['ranks_from']}" if row.get("ranks_from") else ""
    name = f"{row['model']:15} seed {row['seed']} keep {row['keep']:<4} {row['method']:17} {way:9}"
    return f"{name} {shown}, {row.get('seconds', 0):.0f} s{tail}"


def write_docs(rows: list[dict[str, Any]]) -> None:
    """Puts the table into the page, between its marks."""
    cells: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    order: dict[str, list[str]] = defaultdict(list)
    titles = {}
    for row in rows:
        way = "" if row["method"] == "dense" else " tuned" if row["trained"] else " zero-shot"
        method = row["method"] + ("" if row["method"].startswith("SVT") else way)
        if method not in order[row["model"]]:
            order[row["model"]].append(method)
        if row["metrics"]:
            metric, value = next(iter(row["metrics"].items()))
            cells[row["model"], method, row["keep"]].append(value)
            titles[row["model"]] = f"{row['model']}, {metric}, {row['epochs']} epochs"
    text = []
    for model, methods in order.items():
        keeps = sorted({k for m, _, k in cells if m == model and k < 1}, reverse=True)
        seeds = max(len(values) for key, values in cells.items() if key[0] == model)
        dense = float(np.mean(cells[model, "dense", 1.0]))
        text += ["", f"**{titles[model]}, seeds: {seeds}, dense {dense:.3f}**", ""]
        text.append("| method | " + " | ".join(f"{keep:g}" for keep in keeps) + " |")
        text.append("|---|" + "---|" * len(keeps))
        for method in methods:
            if method != "dense":
                found = [_cell(cells[model, method, keep]) for keep in keeps]
                text.append(f"| {method} | " + " | ".join(found) + " |")
    page = DOCS.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    DOCS.write_text(before + BEGIN + "\n".join(text) + "\n\n" + END + after)


def _cell(values: list[float]) -> str:
    if not values:
        return "out of reach"
    spread = (max(values) - min(values)) / 2
    return f"{np.mean(values):.3f}" + (f" ± {spread:.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
