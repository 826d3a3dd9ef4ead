"""What a search costs, and what it buys: the efforts beside each other.

    python -m benchmarks.effort [NAME ...] [--effort low ...] [--budget targets=0.5 ...]
        [--seed N ...] [--samples 256] [--save FILE.json]

For each model, budget and seed: processor time of the work (everything after loading but the final
verification and timing) in units of C, what survey and calibration take in the same run, and the
divergence on samples that the run never saw, beside that of the highest effort. In the end the
geometric means, with the interval that 95 % of resampled means are in.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import models
from benchmarks import figures
from onnx_factorize import Progress
from onnx_factorize.calibration import CalibrationData, Signature, open_calibration
from onnx_factorize.evaluation import Divergences, Recorded
from onnx_factorize.files import model_io
from onnx_factorize.options import Options, Selection
from onnx_factorize.outputs import output_kinds, survey
from onnx_factorize.pipeline import run
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

EFFORTS = ("low", "normal", "high")
CALIBRATING = ("survey", "calibrate")
OUTSIDE = ("read", "verify", "verify along the stream", "time", "look for states")

# Samples to judge on, at most.
JUDGED = 512


class Processor(Progress):
    """Notes the processor time of each stage."""

    def __init__(self) -> None:
        super().__init__()
        self.processor: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Follows a stage."""
        start = time.process_time()
        with super().stage(name, total) as advance:
            yield advance
        self.processor[name] = self.processor.get(name, 0.0) + time.process_time() - start


class Judge:
    """Compares models on samples of the calibration data that a run has not seen."""

    def __init__(self, recipe: Any, seen: Selection) -> None:
        self.runtime = OnnxRuntime(threads=1)
        self.dense = model_io.load(recipe.model_path)
        session = self.runtime.session(self.dense)
        signature = Signature.of(self.dense)

        def opened(selection: Selection) -> CalibrationData:
            return open_calibration(recipe.calib_path, signature, selection, run=session.run)

        known = opened(seen)
        used = [b.indices for split in ("calibration", "holdout") for b in known.batches(split)]
        self.data = opened(Selection(samples=known.available, holdout=0.0))
        unseen = np.ones(self.data.calibration_samples, bool)
        unseen[np.concatenate(used)] = False
        left = np.flatnonzero(unseen)
        chosen = left[np.linspace(0, len(left) - 1, min(JUDGED, len(left))).astype(int)]
        self.only = np.isin(np.arange(len(unseen)), chosen)
        kinds = output_kinds(self.dense, {})
        self.outputs = survey(session, kinds, self.data.fewer(256), 0, lambda _: None).outputs
        watched = self.runtime.session(self.dense, list(self.outputs))
        batches = self.data.batches("calibration", only=self.only)
        self.recorded = Recorded.of(watched, batches)

    def divergence(self, model: Any) -> float:
        """The divergence of a model, in nats."""
        session, found = self.runtime.session(model, list(self.outputs)), Divergences(self.outputs)
        self.recorded.compare(session, found)
        return found.value


@click.command()
@click.argument("names", nargs=-1)
@click.option("--effort", "efforts", multiple=True, default=EFFORTS, show_default=True)
@click.option("--budget", "budgets", multiple=True, default=("targets=0.75", "targets=0.5"))
@click.option("--seed", "seeds", multiple=True, type=int, default=(0,), show_default=True)
@click.option("--samples", default=256, show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    names: tuple[str, ...],
    efforts: tuple[str, ...],
    budgets: tuple[str, ...],
    seeds: tuple[int, ...],
    samples: int,
    save: Path | None,
) -> None:
    """Run the models NAMES, or all."""
    rows = []
    for name in names or models.names():
        for seed in seeds:
            judge = Judge(models.get(name), Selection(samples=samples, seed=seed))
            for budget in budgets:
                for effort in efforts:
                    row = _measured(name, budget, effort, seed, samples, judge)
                    rows.append(row)
                    print(line(row), flush=True)
                    figures.write(save, rows)
    _summarize(rows, efforts)


def _measured(
    name: str, budget: str, effort: str, seed: int, samples: int, judge: Judge
) -> dict[str, Any]:
    recipe, progress = models.get(name), Processor()
    options = Options.of(
        budget=budget, effort=effort, seed=seed, samples=samples, prefer="size", threads=1
    )
    start, clock = time.process_time(), time.perf_counter()
    result = run(recipe.model_path, recipe.calib_path, options, progress)
    total, wall = time.process_time() - start, time.perf_counter() - clock
    stages = progress.processor
    calibrating = sum(stages.get(stage, 0.0) for stage in CALIBRATING)
    work = total - sum(stages.get(stage, 0.0) for stage in OUTSIDE)
    return {
        "model": name,
        "budget": budget,
        "effort": effort,
        "seed": seed,
        "samples": samples,
        "calibrating": calibrating,
        "work": work / calibrating,
        "processor": total,
        "seconds": wall,
        "stages": stages,
        "divergence": judge.divergence(result.model),
        "tried": len(result.report.divergence["tried"] or ()),
    }


def line(row: dict[str, Any]) -> str:
    """One row, for people."""
    stages = row["stages"].items()
    parts = ", ".join(f"{n} {s / row['calibrating']:.1f}" for n, s in stages if s > 0.05 * s + 0.05)
    return (
        f"{row['model']:18} {row['budget']:13} seed {row['seed']} {row['effort']:6} "
        f"work {row['work']:5.1f} C, {row['processor']:6.1f} s processor, "
        f"divergence {row['divergence']:.4g} ({parts})"
    )


def _summarize(rows: Sequence[dict[str, Any]], efforts: Sequence[str]) -> None:
    """The means of each effort; of divergences beside the last effort's."""
    cells: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["model"], row["budget"], row["seed"]), {})[row["effort"]] = row
    rng = np.random.default_rng(0)
    for effort in efforts:
        works = np.log([cell[effort]["work"] for cell in cells.values()])
        ratios = np.log(
            [
                max(cell[effort]["divergence"], 1e-12) / max(cell[efforts[-1]]["divergence"], 1e-12)
                for cell in cells.values()
            ]
        )
        means = [rng.choice(ratios, len(ratios)).mean() for _ in range(2000)]
        low, high = np.exp(np.percentile(means, [2.5, 97.5]))
        print(
            f"{effort:6} work {np.exp(works.mean()):.2f} C (most {np.exp(works.max()):.2f}), "
            f"divergence {np.exp(ratios.mean()):.3f} of {efforts[-1]}'s [{low:.3f}, {high:.3f}]"
        )


if __name__ == "__main__":
    main()
