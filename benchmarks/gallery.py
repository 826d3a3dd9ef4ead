"""A gallery: models that are compressed and ready, each with a card.

    python -m benchmarks.gallery [NAME ...] [-o gallery] [--threads N] [--save FIGURES.json]
    python -m benchmarks.gallery --docs [FIGURES.json ...]    # writes docs/research/gallery.md

Needs `python -m models fetch NAME`. Of each model whose licence lets its weights be passed on, the
folder NAME in the gallery gets `model.onnx`, `report.json`, and a card, `README.md`: size, time,
quality on test data with truth, licence, and the command, which is the one that was run. A model of
a gallery that cannot be made, or is not fetched, is left out, and a line says why.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import models
from benchmarks import figures
from onnx_factorize import __version__

ROOT = Path(__file__).parent.parent
RESULTS, PAGE = (
    ROOT / "benchmarks" / "results" / "gallery",
    ROOT / "docs" / "research" / "gallery.md",
)

# Licences under which weights may be passed on, as recipes begin them.
FREE = ("Apache-2.0", "MIT")

_PRODUCTS = ("--op-type MatMul", "--op-type Gemm", "--op-type Conv")

# How far each goes: as far as it stays practically the same without training (weightings.md).
OPTIONS: dict[str, str] = {
    "fashion-cnn": "--budget params=0.5 --quantize int8",
    "fashion-resnet": "--budget targets=0.6 --quantize int8",
    "fashion-vit": "--budget targets=0.5 --quantize int8",
    "ppocr-rec": "--budget targets=0.75",
    "ppocr-det": "--budget targets=0.5 --samples 64",
    "ppocr-cls": "--budget targets=0.6",
    "minilm": f"--budget targets=0.8 {' '.join(_PRODUCTS)} --quantize int8",
    "silero-vad": "--budget targets=0.4",
    "magika": "--budget targets=0.9",
    "crepe-tiny": "--budget targets=0.75",
    "smollm2": f"--budget targets=0.9 {' '.join(_PRODUCTS)} --factors auto --samples 64",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of the gallery.

    Attributes:
        recipe: Where the dense model is from, and what measures it.
        folder: Where it is put.
    """

    recipe: models.Recipe
    folder: Path

    @property
    def arguments(self) -> list[str]:
        """What makes it, after `onnx-factorize`."""
        recipe, files = self.recipe, self.folder
        return [
            *(str(recipe.model_path), "--calib", str(recipe.calib_path)),
            *shlex.split(OPTIONS[recipe.name]),
            *("-o", str(files / "model.onnx"), "--report", str(files / "report.json")),
        ]

    @property
    def command(self) -> str:
        """The same as its reader would type it, wherever models were kept here."""
        cache = Path("models") / "cache" / self.recipe.name
        bundled = Path(models.__file__).parent in self.recipe.folder.parents
        folder = self.recipe.folder.relative_to(ROOT) if bundled else cache
        dense = folder / self.recipe.model_path.name
        data = folder / self.recipe.calib_path.name
        made = f"{OPTIONS[self.recipe.name]} -o model.onnx --report report.json"
        return f"onnx-factorize {dense} --calib {data} {made}"

    def make(self, threads: int, limit: int | None) -> dict[str, Any]:
        """Makes the model and its card, whole or not at all; returns what the card says.

        Raises:
            subprocess.CalledProcessError: The command failed, and has said why.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as made:
            entry = dataclasses.replace(self, folder=Path(made) / self.recipe.name)
            entry.folder.mkdir()
            command = [sys.executable, "-m", "onnx_factorize", *entry.arguments, "-q"]
            subprocess.run([*command, "--threads", str(threads)], check=True)
            row = entry.measured(limit) | {"command": self.command}
            (entry.folder / "README.md").write_text(card(row), encoding="utf-8")
            if self.folder.exists():
                self.folder.rename(Path(made) / "old")
            entry.folder.rename(self.folder)
        return row

    def measured(self, limit: int | None) -> dict[str, Any]:
        """What the report and the test data say of the model that was made."""
        report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        dense, small = report["model"]["dense"], report["model"]["compressed"]
        before = self.recipe.evaluate(self.recipe.model_path, limit)
        after = self.recipe.evaluate(self.folder / "model.onnx", limit)
        return {
            "model": self.recipe.name,
            "summary": self.recipe.summary,
            "licence": self.recipe.licence,
            "source": self.recipe.source,
            "bytes": [dense["bytes"], small["bytes"]],
            "params": [dense["params"], small["params"]],
            "metrics": {name: [before[name], after[name]] for name in before},
            "divergence": report["divergence"]["holdout"],
            "samples": report["samples"],
            "timing": report["timing"],
            "version": __version__,
            "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        }


@click.command()
@click.argument("names", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("gallery"))
@click.option("--threads", default=1, show_default=True)
@click.option("--limit", type=int, help="Test samples to evaluate on.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--docs", is_flag=True, help="NAMES are files of figures: write them as a page.")
def main(
    names: tuple[str, ...],
    output: Path,
    threads: int,
    limit: int | None,
    save: Path | None,
    docs: bool,
) -> None:
    """Make the gallery of the models NAMES, or of all."""
    if docs:
        rows = figures.read(names or sorted(RESULTS.glob("*.json")))
        PAGE.write_text(page(rows), encoding="utf-8")
        return
    found: list[dict[str, Any]] = []
    for name in names or OPTIONS:
        recipe = models.get(name)
        if reason := _left_out(recipe):
            click.echo(f"{name}: left out, {reason}", err=True)
            continue
        try:
            found.append(Entry(recipe, output / name).make(threads, limit))
        except subprocess.CalledProcessError as error:
            click.echo(f"{name}: left out, exit code {error.returncode}", err=True)
            continue
        click.echo(line(found[-1]))
        figures.write(save, found)


def _left_out(recipe: models.Recipe) -> str | None:
    if recipe.name not in OPTIONS:
        return "no options are known that serve it without training"
    if not recipe.licence.startswith(FREE):
        return f"its licence: {recipe.licence}"
    if not recipe.model_path.exists():
        return f"not fetched: python -m models fetch {recipe.name}"
    return None


def card(row: dict[str, Any]) -> str:
    """The card of one model, as markdown."""
    figures_of = [
        ("file", *(f"{size / 1e6:.2f} MB" for size in row["bytes"])),
        ("parameters", *(f"{count:,.0f}" for count in row["params"])),
        ("time of a sample", "1", _time(row)),
        *((name, *(f"{value:.4g}" for value in both)) for name, both in row["metrics"].items()),
        ("divergence, nats a prediction", "0", f"{row['divergence']:.2g}"),
    ]
    lines = [f"| {name} | {dense} | {small} |" for name, dense, small in figures_of]
    calibrated, held = row["samples"]["calibration"], row["samples"]["holdout"]
    return f"""# {row["model"]}, compressed

{row["summary"][0].upper()}{row["summary"][1:]}. Licence of the weights: {row["licence"]}; the dense
model is from {row["source"]}. Same inputs, outputs and metadata as the dense model; plain ONNX.

| | dense | this model |
|---|---|---|
{chr(10).join(lines)}

Calibrated on {calibrated:,} samples; the divergence is of {held:,} others, the metrics of test data
with truth. Made by onnx-factorize {row["version"]} on {row["date"]}, without training;
`report.json` has all of it:

    {row["command"]}
"""


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page of the documentation."""
    text = """# Gallery

`python -m benchmarks.gallery` makes these models, each in a folder with its report and a card; none
is trained afterwards. The metric is of test data with truth, the divergence of samples that were
held out; times are those of one thread, one sample ("noisy" where the machine was too busy to say).

| model | licence | options | file | time | metric | divergence |
|---|---|---|---|---|---|---|
"""
    for row in rows:
        (name, (dense, small)), *_ = row["metrics"].items()
        before, after = row["bytes"]
        text += (
            f"| {row['summary']} | {row['licence']} | `{OPTIONS[row['model']]}` | "
            f"{before / 1e6:.2f} → {after / 1e6:.2f} MB | {_time(row)} | "
            f"{name} {dense:.3f} → {small:.3f} | {row['divergence']:.2g} |\n"
        )
    return text


def line(row: dict[str, Any]) -> str:
    """One model, for people."""
    metrics = ", ".join(f"{n} {a:.4g} → {b:.4g}" for n, (a, b) in row["metrics"].items())
    sizes = " → ".join(f"{size / 1e6:.2f}" for size in row["bytes"])
    return f"{row['model']}: {sizes} MB, {_time(row)}, {metrics}, {row['divergence']:.2g} nats"


def _time(row: dict[str, Any]) -> str:
    timing = row["timing"]
    if timing is None:
        return ""
    noisy = " (noisy)" if timing["state"].startswith("too noisy") else ""
    return f"{timing['ratio']:.2f} x{noisy}"


if __name__ == "__main__":
    main()
