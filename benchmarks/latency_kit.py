"""Round trips of latency kits, with this machine as the device, in other processes.

    python -m benchmarks.latency_kit [NAME ...] [--budget 0.7] [--threads 1]

For each model: the size of its kit and the time that it takes; how what operators save repeats in
a second run of the kit (median error of the saving, share of those whose sign is the same, of
what saves or costs more than 3 %); the latency that was asked, predicted, and measured in one more
process in turns with the dense model; and the same after that measurement has corrected a second
model. Bars: 6 % of what was asked, 10 % of the saving, sign in 95 %, 60 MB and 300 s.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import click
import numpy as np

import models
from onnx_factorize import BudgetError, Progress
from onnx_factorize.latency_kit import write_check, write_kit
from onnx_factorize.options import Options
from onnx_factorize.pipeline import run

_NAMES = (
    "fashion-resnet",
    "fashion-vit",
    "crepe-tiny",
    "ppocr-cls",
    "minilm",
    "efficientnet-lite0",
)

# Savings smaller than this share of the dense operator's time have no sign.
_SIGNED = 0.03


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", default=0.7, show_default=True)
@click.option("--samples", default=128, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--narrow", default="auto", show_default=True)
@click.option("--factors", default="pair", show_default=True)
@click.option("--corrected/--not-corrected", default=True, show_default=True)
def main(
    names: tuple[str, ...],
    budget: float,
    samples: int,
    threads: int,
    narrow: str,
    factors: str,
    corrected: bool,
) -> None:
    """Run the models NAMES, or six."""
    print(f"{samples} samples, {threads} threads, --narrow {narrow} --factors {factors}")
    print("| model | kit | run | error of savings | sign | round | asked | predicted | measured |")
    print("|---|---|---|---|---|---|---|---|---|")
    options = Options.of(
        budget=f"latency={budget}",
        samples=samples,
        threads=threads,
        narrow=narrow,
        factors=factors,
        best_effort=True,
    )
    for name in names or _NAMES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                _row(name, options, pathlib.Path(folder), rounds=2 if corrected else 1)
            except BudgetError as error:
                print(f"| {name} | {error} | | | | | | | |", flush=True)


def _row(name: str, options: Options, folder: pathlib.Path, rounds: int) -> None:
    recipe = models.get(name)
    model, data = recipe.model_path, recipe.calib_path
    kit = write_kit(model, folder / "kit", options, Progress(), data)
    start = time.perf_counter()
    profiles = [_measured(folder / "kit", folder / "results.json", "--dense", str(model))]
    taken = time.perf_counter() - start
    again = _measured(folder / "kit", folder / "again.json", "--dense", str(model))
    error, sign = _repeats(*(json.loads(path.read_text()) for path in (profiles[0], again)))
    said = (
        f"{kit.bytes / 1e6:.1f} MB, {kit.models} models | {taken:.0f} s | {error:.1%} | {sign:.1%}"
    )
    for number in range(1, rounds + 1):
        asked = Options.of(**_flat(options), latency_profile=tuple(map(str, profiles)))
        made = run(model, data, asked, Progress())
        small = folder / f"small{number}.onnx"
        made.save(small)
        check = folder / f"check{number}"
        write_check(model, [small], check, options, Progress(), data)
        profiles.append(_measured(check, folder / f"check{number}.json"))
        found = json.loads(profiles[-1].read_text())
        dense, compressed = (entry["p50"] for entry in found["whole"])
        latency = made.report.latency
        assert latency is not None
        ratio = compressed / dense
        print(
            f"| {name} | {said} | {number} | {latency['asked']:.3f} | {latency['predicted']:.3f} | "
            f"{ratio:.3f} ({ratio / latency['asked'] - 1:+.1%}) |",
            flush=True,
        )
        name, said = "", " | | | "


def _flat(options: Options) -> dict[str, Any]:
    return {
        "budget": options.budget,
        "samples": options.selection.samples,
        "threads": options.runtime.threads,
        "narrow": options.narrow,
        "factors": options.factors,
        "best_effort": options.best_effort,
    }


def _measured(kit: pathlib.Path, results: pathlib.Path, *more: str) -> pathlib.Path:
    """Runs a kit in another process, in which nothing of this package is found."""
    command = [sys.executable, "-I", str(kit / "run.py"), "-o", str(results), *more]
    subprocess.run(command, check=True, capture_output=True)
    return results


def _repeats(first: dict[str, Any], second: dict[str, Any]) -> tuple[float, float]:
    """How what operators save repeats: the median error, and the share of the same sign."""
    errors, signs = [], []
    for family in first["kit"]["families"]:
        dense, *files = family["files"]
        for file in files:
            one, other = (
                1 - found["entries"][file]["min"] / found["entries"][dense]["min"]
                for found in (first, second)
            )
            if abs(one) >= _SIGNED:
                errors.append(abs(other / one - 1))
                signs.append(one * other > 0)
    return float(np.median(errors)), float(np.mean(signs))


if __name__ == "__main__":
    main()
