"""All weightings and allocations on real models, zero-shot, beside each other.

    python -m benchmarks.weightings [NAME ...] [--seed N ...] [--samples N] [--save FILE.json]
    python -m benchmarks.weightings --docs FILE.json ...  # writes the page and plot

Needs `python -m models fetch all`. For each model, seed, weighting, allocation and share of the
parameters of the MatMul, Gemm and Conv operators: the divergence on held-out calibration data and
the model's own metrics on its test data. One calibration serves all budgets. Samples count those
held out (a fifth).
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks import figures
from onnx_factorize.options import Budget, Options, Ranks
from onnx_factorize.pipeline import calibrated, compressed
from onnx_factorize.progress import Progress

# What each is drawn in.
COLOURS = {
    "none": "0.6",
    "diagonal": "tab:orange",
    "activation": "tab:blue",
    "fisher": "tab:red",
}
KEEPS = (0.9, 0.75, 0.5, 0.3)
SAMPLES = {
    "minilm": 1280,
    "ppocr-rec": 1280,
    "efficientnet-lite0": 320,
    "ppocr-det": 64,
    "silero-vad": 320,
    "silero-vad-if": 320,
}
INTRODUCTION = (
    "Made by `python -m benchmarks.weightings`: zero-shot, `--budget targets=KEEP` of the MatMul, "
    "Gemm and Conv operators only, convolutions in the channel form. Each cell holds the "
    "divergence on held-out calibration data (nats a prediction, ± half of the spread of the "
    "seeds where they are several) and the model's first metric on its test data, on average. A "
    "fifth of the samples is held out."
)
NOTES = {
    "efficientnet-lite0": "Samples held out are other crops of the photographs that were "
    "calibrated on; the metric is of photographs that were not."
}
PREDICTED = (
    "What `fisher` with ranks allocated globally is expected to cost (the report's `predicted`, of "
    "calibration samples that had no part in the directions), divided by what held-out samples "
    "cost, seed by seed. What is alike has no part together, so it is too much where held-out "
    "samples are like those calibrated on: with few samples, or crops of the same photographs."
)
DOCS = Path(__file__).parent.parent / "docs" / "research"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True)
@click.option("--samples", type=int, help="Default: 1,024, fewer where there are fewer.")
@click.option("--weighting", "weightings", multiple=True, default=tuple(COLOURS))
@click.option("--ranks", "allocations", multiple=True, default=("global", "uniform"))
@click.option("--keep", "keeps", multiple=True, type=float, default=KEEPS)
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--docs", is_flag=True, help="NAMES are files of figures: write them as a page.")
@click.option("--note", help="What a reader of the page should know besides.")
def main(
    names: tuple[str, ...],
    seeds: tuple[int, ...],
    samples: int | None,
    weightings: tuple[str, ...],
    allocations: tuple[str, ...],
    keeps: tuple[float, ...],
    save: Path | None,
    docs: bool,
    note: str | None,
) -> None:
    """Run the models NAMES, or all."""
    if docs:
        write_docs(figures.read(names), note)
        return
    rows = []
    # Seed by seed, so that what is there when it is stopped is worth a table.
    for seed in seeds:
        for name in names or models.names():
            for weighting in weightings:
                for row in measured(name, seed, samples, weighting, allocations, keeps):
                    rows.append(row)
                    print(line(row), flush=True)
                    figures.write(save, rows)


def measured(
    name: str,
    seed: int,
    samples: int | None,
    weighting: str,
    allocations: tuple[str, ...],
    keeps: tuple[float, ...],
) -> Iterator[dict[str, Any]]:
    """The figures of one calibration."""
    recipe = models.get(name)
    count = samples or SAMPLES.get(name, 1024)
    options = Options.of(
        weighting=weighting,
        samples=count,
        seed=seed,
        op_types=("MatMul", "Gemm", "Conv"),
        form="channel",
        prefer="size",
    )
    known = calibrated(recipe.model_path, recipe.calib_path, options, Progress())
    predicted = known.analysis.candidates[0]
    uniform = dataclasses.replace(
        known,
        analysis=dataclasses.replace(
            known.analysis, candidates=[dataclasses.replace(predicted, uniform=True)], expected=None
        ),
    )
    ways: tuple[tuple[Ranks, Any], ...] = (("global", known), ("uniform", uniform))
    for keep in keeps:
        for ranks, start in ways:
            if ranks not in allocations:
                continue
            asked = dataclasses.replace(options, budget=Budget("targets", keep), ranks=ranks)
            result = compressed(start, asked, Progress())
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                result.save(path)
                metrics = recipe.evaluate(path)
            divergence = result.report.divergence
            yield {
                "model": name,
                "samples": count,
                "seed": seed,
                "weighting": weighting,
                "ranks": ranks,
                "keep": keep,
                "divergence": divergence["holdout"],
                "predicted": divergence["predicted"],
                "second_order": divergence["second_order"],
                "tried": divergence["tried"],
                "metrics": metrics,
            }


def line(row: dict[str, Any]) -> str:
    """One row, for people."""
    predicted = "" if row["predicted"] is None else f"predicted {row['predicted']:.3g}"
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in row["metrics"].items())
    return (
        f"{row['model']:18} {row['samples']:5} seed {row['seed']} keep {row['keep']:<4} "
        f"{row['weighting']:10} {row['ranks']:7} divergence {row['divergence']:<9.4g} "
        f"{predicted:19} {metrics}"
    )


def write_docs(rows: list[dict[str, Any]], note: str | None) -> None:
    """Writes the tables and the plot; of figures that are there twice, the later ones."""
    keys = ("model", "samples", "weighting", "ranks", "keep", "seed")
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for key, row in {tuple(row[each] for each in keys): row for row in rows}.items():
        cells[key[:-1]].append(row)
    text = [
        "# Weightings and allocations, measured",
        "",
        INTRODUCTION,
        "",
        *([note, ""] if note else []),
        "![Divergence against size](weightings.svg)",
    ]
    for model, samples in sorted({key[:2] for key in cells}):
        here = {key[2:]: found for key, found in cells.items() if key[:2] == (model, samples)}
        metric = next(iter(next(iter(here.values()))[0]["metrics"]))
        keeps = sorted({key[2] for key in here}, reverse=True)
        seeds = max(len(found) for found in here.values())
        text += ["", f"## {model}, {samples:,} samples, seeds: {seeds} ({metric})", ""]
        text += [NOTES[model], ""] if model in NOTES else []
        text.append("| weighting | ranks | " + " | ".join(f"{keep:g}" for keep in keeps) + " |")
        text.append("|---|---|" + "---|" * len(keeps))
        for weighting in COLOURS:
            for ranks in ("uniform", "global"):
                if not any((weighting, ranks, keep) in here for keep in keeps):
                    continue
                found = [cell(here.get((weighting, ranks, keep), []), metric) for keep in keeps]
                bold = "**" if (weighting, ranks) == ("fisher", "global") else ""
                text.append(f"| {bold}{weighting}{bold} | {ranks} | " + " | ".join(found) + " |")
    text += ["", "## Predicted and measured", "", PREDICTED, "", *predicted_and_measured(cells)]
    (DOCS / "weightings.md").write_text("\n".join(text) + "\n")
    plot(cells)


def predicted_and_measured(cells: dict[tuple[Any, ...], list[dict[str, Any]]]) -> list[str]:
    """A table of the ratios of the default weighting and allocation, seed by seed."""
    ours = {
        (*key[:2], key[4]): [row["predicted"] / row["divergence"] for row in found]
        for key, found in cells.items()
        if key[2:4] == ("fisher", "global")
    }
    keeps = sorted({key[2] for key in ours}, reverse=True)
    text = ["| model | samples | " + " | ".join(f"{keep:g}" for keep in keeps) + " |"]
    text.append("|---|---|" + "---|" * len(keeps))
    for model, samples in sorted({key[:2] for key in ours}):
        ratios = [ours.get((model, samples, keep), []) for keep in keeps]
        each = (", ".join(f"{ratio:.2g}" for ratio in found) for found in ratios)
        text.append(f"| {model} | {samples:,} | " + " | ".join(each) + " |")
    return text


def cell(rows: list[dict[str, Any]], metric: str) -> str:
    """The mean of the seeds, and half of their spread where they are several."""
    if not rows:
        return ""
    values = [row["divergence"] for row in rows]
    spread = f" ± {(max(values) - min(values)) / 2:.1g}" if len(values) > 1 else ""
    score = float(np.mean([row["metrics"][metric] for row in rows]))
    return f"{np.mean(values):.2g}{spread}; {score:.3f}"


def plot(cells: dict[tuple[Any, ...], list[dict[str, Any]]]) -> None:
    """Divergence against the share kept, a panel a model."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - an optional dependency

    panels = sorted({key[:2] for key in cells})
    columns = 3
    height = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        height, columns, figsize=(4 * columns, 3 * height), squeeze=False, layout="constrained"
    )
    for axis, (model, samples) in zip(axes.flat, panels, strict=False):
        for weighting, colour in COLOURS.items():
            for ranks, style in (("uniform", ":"), ("global", "-")):
                points = sorted(
                    (key[4], float(np.mean([row["divergence"] for row in found])))
                    for key, found in cells.items()
                    if key[:4] == (model, samples, weighting, ranks)
                )
                if points:
                    axis.plot(
                        *zip(*points, strict=True),
                        style,
                        color=colour,
                        marker=".",
                        label=f"{weighting}, {ranks}",
                    )
        axis.set(yscale="log", title=f"{model}, {samples:,}", xlabel="kept", ylabel="divergence")
    for axis in list(axes.flat)[len(panels) :]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(DOCS / "weightings.svg")


if __name__ == "__main__":
    main()
