"""Calibration in parts beside calibration at once, and what one more budget costs.

    python -m benchmarks.shards [NAME ...] [--samples 256]
        [--parts 1,3,16] [--budget params=0.75] [--more params=0.5]

Needs `python -m models fetch all`. For each model the samples are divided into 1, 3 and 16 parts,
which go through files: whether the ranks are the same, the predicted loss and the held-out
divergence beside those of a run at once. Then the processor time of one more budget from the file
of statistics, in a process of its own, over that of one more budget of a sweep: of the first such
run, which cross-validates losses, and of the next, which finds them beside the statistics.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

import models
from onnx_factorize import Progress
from onnx_factorize.options import Budget, Options
from onnx_factorize.pipeline import calibrated, compressed, run
from onnx_factorize.prepared import prepare
from onnx_factorize.report.report import Report
from onnx_factorize.shards import Shard, gathered_part, merge_files, shared_by
from onnx_factorize.statistics.losses_file import losses_beside
from onnx_factorize.statistics.statistics_file import save

# One budget from statistics, as the command runs it; prints its processor time.
_ONE_MORE = """
import sys, time
from onnx_factorize import factorize
model, data, statistics, samples, threads, budget = sys.argv[1:]
factorize(model, data, statistics=statistics, samples=int(samples), threads=int(threads),
          budget=budget, prefer="size")
print(time.process_time())
"""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--samples", default=256, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--parts", default="1,3,16", show_default=True)
@click.option("--budget", default="params=0.75", show_default=True)
@click.option("--more", default="params=0.5", show_default=True, help="One more budget.")
def main(
    names: tuple[str, ...], samples: int, threads: int, parts: str, budget: str, more: str
) -> None:
    """Calibrate the models NAMES in parts, or three of them."""
    print("| model | parts | same ranks | predicted | divergence | size of file |")
    print("|---|---|---|---|---|---|")
    last = []
    for name in names or ("fashion-vit", "ppocr-cls", "minilm"):
        given = Options.of(samples=samples, threads=threads, budget=budget, prefer="size")
        model, data = models.get(name).model_path, models.get(name).calib_path
        alone = run(model, data, given, Progress()).report
        with tempfile.TemporaryDirectory() as folder:
            for count in map(int, parts.split(",")):
                file = _merged(model, data, given, count, Path(folder))
                asked = dataclasses.replace(given, statistics=str(file))
                found = run(model, data, asked, Progress()).report
                print(_row(name, count, found, alone, file), flush=True)
            last.append(_one_more(name, model, data, given, more, file))
    print("\n| model | one more of a sweep, s | first from a file, s | next, s | ratio |")
    print("|---|---|---|---|---|")
    print("\n".join(last))


def _merged(model: Path, data: Path, options: Options, count: int, folder: Path) -> Path:
    """The file of as many parts, each of which was in one of its own."""
    prepared = prepare(model, data, options, Progress())
    shared, files = shared_by(prepared, options), []
    for number in range(1, count + 1):
        files.append(folder / f"part.{number}.npz")
        part = gathered_part(prepared.run, prepared.macs, options, shared, Shard(number, count))
        save(part, files[-1])
    merged = folder / f"all.{count}.npz"
    save(merge_files(files[::-1]), merged)
    for file in files:
        file.unlink()
    return merged


def _row(name: str, count: int, found: Report, alone: Report, file: Path) -> str:
    same = [each.rank for each in found.layers] == [each.rank for each in alone.layers]
    parts = [
        _change(found.divergence[key], alone.divergence[key]) for key in ("predicted", "holdout")
    ]
    size = f"{file.stat().st_size / 1e6:.0f} MB"
    return f"| {name} | {count} | {'yes' if same else 'no'} | {' | '.join(parts)} | {size} |"


def _change(found: float, alone: float) -> str:
    return f"{found:.6g} ({found / alone - 1:+.3%})"


def _one_more(
    name: str, model: Path, data: Path, options: Options, more: str, statistics: Path
) -> str:
    """A row on what one more budget takes of the processor."""
    known = calibrated(model, data, options, Progress())
    compressed(known, options, Progress())
    start = time.process_time()
    compressed(known, dataclasses.replace(options, budget=Budget.parse(more)), Progress())
    swept = time.process_time() - start
    selection, threads = options.selection, options.runtime.threads
    arguments = [model, data, statistics, selection.samples, threads, more]
    command = [sys.executable, "-c", _ONE_MORE, *map(str, arguments)]
    losses_beside(statistics).unlink(missing_ok=True)
    first, later = (
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(2)
    )
    return f"| {name} | {swept:.1f} | {first:.1f} | {later:.1f} | {later / swept:.2f} |"


if __name__ == "__main__":
    main()
