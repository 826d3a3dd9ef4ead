"""Whether two versions compute the same: plans and files of every model, byte for byte.

    python -m benchmarks.unchanged record FILE.json [--model NAME ...] [--budget KIND=VALUE ...]
    python -m benchmarks.unchanged compare BEFORE.json AFTER.json

`record` compresses each model (all that are here, if none is named) at two budgets by two
weightings, on one thread, so that nothing is left to timing, and notes the rank and form of every
operator, the divergences and the SHA-256 of what was written. `compare` names each run in which two
records differ and what differs first: the file, the plan, or the figures; it exits with 1 if any
does. A refactoring is done when it prints that nothing does.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

import models
from onnx_factorize import factorize


@click.group()
def main() -> None:
    """Record what this version makes, or compare two records."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", "names", multiple=True)
@click.option("--budget", "budgets", multiple=True, default=["targets=0.75", "targets=0.5"])
@click.option("--weighting", "weightings", multiple=True, default=["fisher", "activation"])
@click.option("--samples", default=64, show_default=True)
def record(
    file: Path,
    names: tuple[str, ...],
    budgets: tuple[str, ...],
    weightings: tuple[str, ...],
    samples: int,
) -> None:
    """Compress the models and note what came of it."""
    runs: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name in names or models.names():
        if not models.get(name).model_path.exists():
            print(f"{name}: not here, left out", flush=True)
            continue
        for budget in budgets:
            for weighting in weightings:
                key = f"{name} {budget} {weighting}"
                start = time.perf_counter()
                runs[key] = _run(name, budget, weighting, samples)
                file.write_text(json.dumps(runs, indent=1))
                took = time.perf_counter() - start
                print(f"{key}: {runs[key]['sha256'][:12]} ({took:.0f} s)", flush=True)


def _run(name: str, budget: str, weighting: str, samples: int) -> dict[str, Any]:
    """What one run makes."""
    recipe = models.get(name)
    result = factorize(
        recipe.model_path,
        recipe.calib_path,
        budget=budget,
        weighting=weighting,
        samples=samples,
        prefer="size",
        threads=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "small.onnx")
        digest = hashlib.sha256()
        for part in sorted(Path(folder).rglob("*")):
            if part.is_file():
                digest.update(part.read_bytes())
    report = json.loads(json.dumps(result.report.as_dict(), default=str))
    return {
        "sha256": digest.hexdigest(),
        "plan": {
            layer["name"]: [layer.get("form"), layer.get("rank")] for layer in report["layers"]
        },
        "figures": report["divergence"],
    }


@main.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
def compare(before: Path, after: Path) -> None:
    """Name the runs in which two records differ."""
    first, second = json.loads(before.read_text()), json.loads(after.read_text())
    shared = [key for key in first if key in second]
    different = 0
    for key in shared:
        for what in ("plan", "figures", "sha256"):
            if _known(first[key][what]) != _known(second[key][what]):
                different += 1
                print(f"{key}: another {what}")
                break
    print(f"{len(shared)} runs in both, {len(shared) - different} the same, {different} not")
    sys.exit(different > 0)


def _known(found: Any) -> Any:
    """What was found, without the samples that lost most: they are named by where the data lie."""
    return {k: v for k, v in found.items() if k != "worst"} if isinstance(found, dict) else found


if __name__ == "__main__":
    main()
