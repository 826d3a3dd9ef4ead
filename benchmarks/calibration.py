"""What calibration costs: time against the plain forward of the same data, and memory.

    python -m benchmarks.calibration MODEL.onnx CALIB [--samples 4096] [--weighting activation]

Prints the time of a plain onnxruntime forward of the calibration samples and of gathering their
statistics (the survey of the outputs included, if the weighting needs one), interleaved rounds of
each, the time to cross-validate losses, to decompose and to rewrite all targets, and the peak
resident memory of whole runs with 512 and with all samples, each in a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click

from onnx_factorize import Progress
from onnx_factorize.allocation.analysis import analyze
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.factorization.weightings import get_weighting
from onnx_factorize.files import model_io
from onnx_factorize.options import Options, Selection
from onnx_factorize.outputs import output_kinds, survey
from onnx_factorize.passes import FindTargets, LiftWeights
from onnx_factorize.pipeline import run
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.calibration_run import CalibrationRun


@click.command()
@click.argument("model")
@click.argument("calib")
@click.option("--samples", default=4096, show_default=True)
@click.option("--weighting", default="activation", show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--memory-only", is_flag=True, hidden=True)
def main(
    model: str, calib: str, samples: int, weighting: str, rounds: int, memory_only: bool
) -> None:
    """Measure MODEL on CALIB."""
    if memory_only:
        print(_peak(model, calib, samples, weighting))
        return
    _times(model, calib, samples, weighting, rounds)
    for count in (512, samples):
        command = [sys.executable, "-m", "benchmarks.calibration", model, calib, "--memory-only"]
        command += ["--samples", str(count), "--weighting", weighting]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"peak memory with {count:5} samples: {peak} MB")


def _times(path: str, calib: str, samples: int, weighting: str, rounds: int) -> None:
    dense = model_io.load(path)
    runtime = OnnxRuntime()
    session, selection = runtime.session(dense), Selection(samples, holdout=0.0)
    data = open_calibration(calib, Signature.of(dense), selection, run=session.run)
    kinds = output_kinds(dense, {})
    normal = dense.clone()
    LiftWeights()(normal)
    finder = FindTargets()
    finder(normal)
    plain, gathered, decomposed, validated = [], [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        for batch in data.batches("calibration"):
            session.run(batch.feeds)
        plain.append(time.perf_counter() - start)
        progress = Progress()
        surveyed = survey(runtime.session(dense), kinds, data)
        observed = CalibrationRun(
            normal, finder.targets, data, surveyed, runtime, progress=progress
        )
        analyze(observed, get_weighting(weighting))
        decomposed.append(progress.seconds.pop("decompose"))
        validated.append(progress.seconds.pop("cross-validate losses", 0.0))
        gathered.append(sum(progress.seconds.values()))
    print(f"{data.calibration_samples} samples, {len(finder.targets)} targets, {weighting}")
    print(f"plain forward  {statistics.median(plain):7.2f} s")
    print(f"calibration    {statistics.median(gathered):7.2f} s")
    ratios = [g / p for g, p in zip(gathered, plain, strict=True)]
    print(f"ratio          {statistics.median(ratios):7.2f}  (rounds: {_list(ratios)})")
    progress = Progress()
    run(path, calib, Options.of(budget="targets=0.5", weighting=weighting, samples=256), progress)
    print(f"cross-validated  {statistics.median(validated):7.2f} s")
    print(f"decomposing    {statistics.median(decomposed):7.2f} s")
    print(f"rewriting      {progress.seconds['rewrite']:7.2f} s")


def _peak(model: str, calib: str, samples: int, weighting: str) -> float | None:
    options = Options.of(budget="targets=0.5", weighting=weighting, samples=samples)
    result = run(model, calib, options, Progress())
    peak: float | None = result.report.as_dict()["peak_rss_mb"]
    return peak


def _list(numbers: list[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers)


if __name__ == "__main__":
    main()
