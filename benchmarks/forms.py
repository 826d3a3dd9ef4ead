"""The forms of a convolution beside each other, and the budget's own choice among them.

    python -m benchmarks.forms [NAME ...] [--keep 0.5] [--seeds 1] [--samples N] [--save FILE.json]
    python -m benchmarks.forms --docs FILE.json ...    # writes docs/research/forms.md

Needs `python -m models fetch all`. For each model, share of the parameters of its targets, and
form: the divergence on held-out calibration data, the model's own metrics on its test data, and
how many operators got which form. One calibration serves all.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks import figures
from onnx_factorize.allocation.forms import AUTO, restricted
from onnx_factorize.factorization.forms import form_names
from onnx_factorize.options import Budget, Options
from onnx_factorize.pipeline import calibrated, compressed
from onnx_factorize.progress import Progress

NAMES = ("fashion-resnet", "ppocr-det")
SAMPLES = {"fashion-resnet": 1280, "ppocr-det": 64}
DOCS = Path(__file__).parent.parent / "docs" / "research" / "forms.md"
INTRODUCTION = """# Forms of a convolution, measured

Made by `python -m benchmarks.forms`: zero-shot, `--budget targets=KEEP`, weighting `fisher`. Each row is one form for all convolutions
(`--form`), the last lets the budget choose for each (`--form auto`). The divergence is that of held-out calibration data, in nats a
prediction; a mean over seeds, ± half of their spread; and as a multiple of that of `auto` with the same seed, the geometric mean with
the least and the most."""  # noqa: E501


@click.command()
@click.argument("names", nargs=-1)
@click.option("--keep", "keeps", multiple=True, type=float, default=(0.5,), show_default=True)
@click.option("--form", "forms", multiple=True, help="Only these; by default all.")
@click.option("--seeds", default=1, show_default=True)
@click.option("--samples", type=int, help="Default: 1,280, fewer where there are fewer.")
@click.option("--metrics/--no-metrics", default=True, help="The models' own, on test data.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--docs", is_flag=True, help="NAMES are files of figures: write them as a page.")
def main(
    names: tuple[str, ...],
    keeps: tuple[float, ...],
    forms: tuple[str, ...],
    seeds: int,
    samples: int | None,
    metrics: bool,
    save: Path | None,
    docs: bool,
) -> None:
    """Run the models NAMES."""
    if docs:
        write_docs(figures.read(names))
        return
    rows = []
    for name in names or NAMES:
        for seed in range(seeds):
            count = samples or SAMPLES.get(name, 1024)
            for row in measured(name, seed, count, keeps, forms, metrics=metrics):
                rows.append(row)
                print(json.dumps(row), flush=True)
                figures.write(save, rows)


def measured(
    name: str,
    seed: int,
    samples: int,
    keeps: tuple[float, ...],
    forms: tuple[str, ...],
    *,
    metrics: bool,
) -> Iterator[dict[str, Any]]:
    """The figures of one calibration."""
    recipe = models.get(name)
    options = Options.of(samples=samples, seed=seed)
    start = time.perf_counter()
    known = calibrated(recipe.model_path, recipe.calib_path, options, Progress())
    seconds = time.perf_counter() - start
    for keep in keeps:
        for form in sorted(forms or (AUTO, *form_names()), key=lambda form: form == AUTO):
            asked = dataclasses.replace(options, budget=Budget("targets", keep), form=form)
            targets = [restricted(target, form) for target in known.targets]
            result = compressed(dataclasses.replace(known, targets=targets), asked, Progress())
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                result.save(path)
                figures = recipe.evaluate(path) if metrics else {}
            report = result.report
            dense, made = report.model["dense"], report.model["compressed"]
            assert dense.macs
            assert made.macs
            yield {
                "model": name,
                "samples": samples,
                "seed": seed,
                "keep": keep,
                "form": form,
                "divergence": report.divergence["holdout"],
                "predicted": report.divergence["predicted"],
                "tried": report.divergence["tried"],
                "macs": made.macs / dense.macs,
                "latency": (made.latency_ms or 0) / (dense.latency_ms or 1),
                "metrics": figures,
                "forms": collections.Counter(
                    layer.form or "dense" for layer in report.layers if layer.status != "skipped"
                ),
                "calibration seconds": round(seconds, 1),
            }


def write_docs(rows: list[dict[str, Any]]) -> None:
    """Writes the tables."""
    text = [INTRODUCTION]
    for model, samples, keep in sorted({(r["model"], r["samples"], r["keep"]) for r in rows}):
        here = [r for r in rows if (r["model"], r["samples"], r["keep"]) == (model, samples, keep)]
        metric = next(iter(here[0]["metrics"]), None)
        seeds = len({r["seed"] for r in here})
        text += [
            "",
            f"## {model}, {keep:g} kept, {samples:,} samples, {seeds} seed{'s' * (seeds > 1)}",
            "",
        ]
        named = f" {metric} |" if metric else ""
        text.append(
            f"| form | divergence | times auto's |{named} multiplications | taken (first seed) |"
        )
        text.append("|---|---|---|---|---|" + ("---|" if metric else ""))
        best = {r["seed"]: r["divergence"] for r in here if r["form"] == "auto"}
        for form in dict.fromkeys(r["form"] for r in here):
            own = [r for r in here if r["form"] == form]
            values = [r["divergence"] for r in own]
            spread = f" ± {(max(values) - min(values)) / 2:.1g}" if len(values) > 1 else ""
            score = f" {np.mean([r['metrics'][metric] for r in own]):.4f} |" if metric else ""
            macs = float(np.mean([r["macs"] for r in own]))
            taken = ", ".join(f"{count} {name}" for name, count in own[0]["forms"].items())
            bold = "**" if form == "auto" else ""
            text.append(
                f"| {bold}{form}{bold} | {bold}{np.mean(values):.3g}{spread}{bold} "
                f"| {_times(own, best)} |{score} {macs:.2f} | {taken} |"
            )
    DOCS.write_text("\n".join(text) + "\n")


def _times(rows: list[dict[str, Any]], others: dict[int, float]) -> str:
    """Divergences as multiples of others of the same seeds."""
    times = np.array([r["divergence"] / others[r["seed"]] for r in rows if r["seed"] in others])
    if not len(times) or (times == 1).all():
        return ""
    mean = np.exp(np.log(times).mean())
    return f"{mean:.2f} ({times.min():.2f} to {times.max():.2f})"


if __name__ == "__main__":
    main()
