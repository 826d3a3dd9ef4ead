"""A decoder: perplexity on three kinds of text, time and memory, at shares of its block's weights.

    python -m benchmarks.decoder [--keep 0.9 ...] [--variant normal ...] [--samples 64] [--limit N]
        [--save FILE.json]

SmolLM2-135M, the linear operators of its blocks (neither the embedding nor the head, which are one
table), calibrated on windows of 128 tokens of news. `whitened` is what is published as SVD-LLM: the
truncation that is best for the activations of each layer, the same share of all. Times are of the
whole run, and peaks those of a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

import models
from benchmarks import figures
from onnx_factorize import factorize

BLOCKS = (r"\.layers\.",)
VARIANTS: dict[str, dict[str, Any]] = {
    "whitened": {"weighting": "activation", "ranks": "uniform"},
    "low": {"effort": "low"},
    "normal": {},
    "blocks": {"factors": "auto"},
    "low blocks": {"effort": "low", "factors": "auto"},
    "blocks only": {"factors": "identity", "narrow": "off"},
}


@click.command()
@click.option("--keep", "shares", multiple=True, type=float, default=(0.9, 0.8, 0.6))
@click.option(
    "--variant", "variants", multiple=True, type=click.Choice(list(VARIANTS)), default=("normal",)
)
@click.option("--samples", default=64, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--limit", type=int, help="Windows of each text to judge by; all by default.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--one", hidden=True, help="Run this, and print it: what a process of its own does.")
def main(
    shares: tuple[float, ...],
    variants: tuple[str, ...],
    samples: int,
    threads: int,
    limit: int | None,
    save: Path | None,
    one: str | None,
) -> None:
    """Print the table."""
    if one is not None:
        print(json.dumps(_run(**json.loads(one))))
        return
    recipe = models.get("smollm2")
    rows: list[dict[str, Any]] = [{"variant": "dense", "keep": 1.0}]
    rows[0] |= recipe.evaluate(recipe.model_path, limit)
    print(_line(rows[0], rows[0]), flush=True)
    for variant in variants:
        for share in shares:
            with tempfile.TemporaryDirectory() as folder:
                made = Path(folder) / "made.onnx"
                asked = {
                    "variant": variant,
                    "share": share,
                    "samples": samples,
                    "threads": threads,
                    "made": str(made),
                }
                row = {"variant": variant, "keep": share} | _alone(asked)
                row |= recipe.evaluate(made, limit)
            rows.append(row)
            print(_line(row, rows[0]), flush=True)
            figures.write(save, rows)


def _alone(asked: dict[str, Any]) -> dict[str, Any]:
    """What a run in a process of its own finds."""
    command = [sys.executable, "-m", "benchmarks.decoder", "--one", json.dumps(asked)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(variant: str, share: float, samples: int, threads: int, made: str) -> dict[str, Any]:
    """Compresses the decoder."""
    recipe = models.get("smollm2")
    start = time.monotonic()
    result = factorize(
        recipe.model_path,
        recipe.calib_path,
        budget=f"targets={share}",
        include=BLOCKS,
        samples=samples,
        threads=threads,
        prefer="size",
        best_effort=True,
        **VARIANTS[variant],
    )
    seconds = time.monotonic() - start
    result.save(made)
    report = result.report
    costs, timing = report.model, report.timing or {}
    dense = sum(layer.params[0] for layer in report.layers if layer.status != "skipped")
    left = sum(layer.params[1] for layer in report.layers if layer.status != "skipped")
    return {
        "divergence": report.divergence["holdout"],
        "targets": left / dense,
        "params": costs["compressed"].params / costs["dense"].params,
        "time": timing.get("ratio"),
        "seconds": seconds,
        "processor": time.process_time(),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "stages": report.seconds,
        "plan": report.divergence.get("plan"),
        "tried": report.divergence["tried"],
    }


def _line(row: dict[str, Any], dense: dict[str, Any]) -> str:
    said = f"{row['variant']:12s} {row['keep']:.2f}"
    for text in ("news", "licence", "glosses"):
        key = f"perplexity {text}"
        said += f"  {text} {row[key]:7.1f} ({row[key] / dense[key]:.2f})"
    if "seconds" in row:
        said += (
            f"  targets {row['targets']:.3f}  time {row['time'] or 1:.2f}  {row['seconds']:.0f} s"
            f" ({row['processor']:.0f} s of processors)  {row['peak']:.0f} MB"
        )
    return said


if __name__ == "__main__":
    main()
