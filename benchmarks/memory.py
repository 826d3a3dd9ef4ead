"""Peak of resident memory, stage by stage, of default runs.

    python -m benchmarks.memory [NAME ...] [--budget targets=0.5] [--samples 256]
        [--save FILE.json]

Each model is a process of its own. For each stage: the highest resident memory in it, and what is
left when it ends, in MB; and the peak of all, beside the bar of 1.5 GB and three times the model's
size. Linux alone lets a process forget its peak: elsewhere there are no stages.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import models
from benchmarks import figures
from onnx_factorize import Progress
from onnx_factorize.options import Options
from onnx_factorize.pipeline import run

_BAR_MB, _BAR_SIZES = 1500.0, 3.0

_BETWEEN = "between stages"


class StageMemory(Progress):
    """Notes the peak of resident memory in each stage, and what is left when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, tuple[float, float]] = {}
        self._note(_BETWEEN)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Runs a stage."""
        self._note(_BETWEEN)
        try:
            with super().stage(name, total) as advance:
                yield advance
        finally:
            self._note(name)

    def _note(self, name: str) -> None:
        peak, now = _resident("VmHWM"), _resident("VmRSS")
        self.stages[name] = max(peak, self.stages.get(name, (0.0, 0.0))[0]), now
        Path("/proc/self/clear_refs").write_text("5")

    @property
    def peak(self) -> float:
        """The highest of all."""
        self._note(_BETWEEN)
        return max(peak for peak, _ in self.stages.values())


def _resident(key: str) -> float:
    """A figure of this process's memory, in MB."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


@click.command()
@click.argument("names", nargs=-1)
@click.option("--budget", default="targets=0.5", show_default=True)
@click.option("--samples", default=256, show_default=True)
@click.option("--option", "others", multiple=True, metavar="NAME=VALUE", help="As `factorize`'s.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--here", is_flag=True, hidden=True)
def main(
    names: tuple[str, ...],
    budget: str,
    samples: int,
    others: tuple[str, ...],
    save: Path | None,
    here: bool,
) -> None:
    """Run the models NAMES, or all."""
    if here:
        print(json.dumps(_measured(names[0], budget, samples, others)))
        return
    rows = []
    for name in names or models.names():
        command = [sys.executable, "-m", "benchmarks.memory", name, "--budget", budget, "--here"]
        command += ["--samples", str(samples), *(f"--option={each}" for each in others)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        _show(rows[-1])
        figures.write(save, rows)


def _measured(name: str, budget: str, samples: int, others: tuple[str, ...]) -> dict[str, Any]:
    recipe, progress = models.get(name), StageMemory()
    asked = dict(each.split("=", 1) for each in others)
    options = Options.of(budget=budget, samples=samples, threads=1, **asked)
    result = run(recipe.model_path, recipe.calib_path, options, progress)
    return {
        "model": name,
        "model_mb": recipe.model_path.stat().st_size / 1e6,
        "budget": budget,
        "samples": samples,
        "options": list(others),
        "peak_mb": progress.peak,
        "stages": progress.stages,
        "seconds": sum(progress.seconds.values()),
        "divergence": result.report.divergence["holdout"],
    }


def _show(row: dict[str, Any]) -> None:
    """Prints one row."""
    bar = _BAR_MB + _BAR_SIZES * row["model_mb"]
    print(
        f"{row['model']:18} {row['model_mb']:6.1f} MB, {row['samples']} samples: peak "
        f"{row['peak_mb']:6.0f} MB of {bar:.0f} ({row['seconds']:.0f} s, divergence "
        f"{row['divergence']:.4g})"
    )
    for stage, (peak, after) in row["stages"].items():
        print(f"    {stage:34} {peak:6.0f}  then {after:6.0f}", flush=True)


if __name__ == "__main__":
    main()
