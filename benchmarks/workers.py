"""Calibration by several processes beside several threads of one, in one run.

    python -m benchmarks.workers [NAME ...] [--workers 2] [--samples 256] [--rounds 1] [--dask]

Needs `python -m models fetch NAME`. Wall and processor time of `--workers N`, of `--threads N` and,
with `--dask`, of a LocalCluster of N workers with a thread each (extra `dask`), each from the start
of a process to its end, one after the other; ratios are over `--threads N`, of the best rounds. All
cores must be idle, or the figures are of what else runs. At the end the largest differences of the
second moments and of the gradients, over the largest number of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

import models
from onnx_factorize.statistics.statistics_file import load

# Calibrates with the workers of a cluster on this machine.
_DASK = """
import sys
from distributed import LocalCluster
from onnx_factorize.cli.main import main
if __name__ == "__main__":
    workers, *arguments = sys.argv[1:]
    with LocalCluster(n_workers=int(workers), threads_per_worker=1, dashboard_address=None) as made:
        sys.argv = ["onnx-factorize", *arguments, "--scheduler", made.scheduler_address]
        main()
"""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--workers", default=2, show_default=True)
@click.option("--samples", default=256, show_default=True)
@click.option("--rounds", default=1, show_default=True)
@click.option("--dask", is_flag=True)
def main(names: tuple[str, ...], workers: int, samples: int, rounds: int, *, dask: bool) -> None:
    """Calibrate the models NAMES, or MiniLM, in several ways."""
    print(f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}")
    print("| model | way | wall, s | processor, s | over threads |\n|---|---|---|---|---|")
    for name in names or ("minilm",):
        with tempfile.TemporaryDirectory() as folder:
            _compare(name, workers, samples, rounds, Path(folder), dask=dask)


def _compare(
    name: str, workers: int, samples: int, rounds: int, folder: Path, *, dask: bool
) -> None:
    model, data = models.get(name).model_path, models.get(name).calib_path
    common = ["calibrate", model, "--calib", data, "--samples", samples, "-q"]
    cli, script = [sys.executable, "-m", "onnx_factorize"], folder / "cluster.py"
    script.write_text(_DASK)
    ways = {
        f"--threads {workers}": [*cli, *common, "--threads", workers],
        f"--workers {workers}": [*cli, *common, "--threads", 1, "--workers", workers],
    }
    if dask:
        ways["LocalCluster"] = [sys.executable, script, workers, *common, "--threads", 1]
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    files = {way: folder / f"{number}.npz" for number, way in enumerate(ways)}
    for _ in range(rounds):
        for way, command in ways.items():
            taken[way].append(_timed([*map(str, command), "-o", str(files[way])]))
    best = {way: min(found) for way, found in taken.items()}
    first = next(iter(best.values()))[0]
    for way, (wall, processor) in best.items():
        print(f"| {name} | {way} | {wall:.1f} | {processor:.1f} | {wall / first:.2f} |", flush=True)
    dense, *others = files.values()
    for way, file in zip(list(ways)[1:], others, strict=True):
        signal, gradient = _differences(dense, file)
        print(f"{way}: second moments within {signal:.1e}, gradients within {gradient:.1e}")


def _timed(command: list[str]) -> tuple[float, float]:
    """Wall and processor time of a command and of what it starts, in seconds."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True)
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system
    return wall, spent - before.children_user - before.children_system


def _differences(one: Path, other: Path) -> tuple[float, float]:
    signals, gradients = [0.0], [0.0]
    pairs = zip(*(load(file).gathered.parts for file in (one, other)), strict=True)  # type: ignore[union-attr]
    for mine, theirs in pairs:
        for name, own in mine.items():
            its = theirs[name]
            a, b = own.signal.second_moment, its.signal.second_moment
            signals.append(float(np.abs(a - b).max() / (np.abs(a).max() or 1.0)))
            if own.gradient is not None and its.gradient is not None:
                a, b = own.gradient.total, its.gradient.total
                gradients.append(float(np.abs(a - b).max() / (np.abs(a).max() or 1.0)))
    return max(signals), max(gradients)


if __name__ == "__main__":
    main()
