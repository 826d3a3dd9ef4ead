"""Does a guarantee hold on samples that the search never saw, and what does it cost to make?

    python -m benchmarks.guarantee [NAME ...] [--guarantee "max_divergence=0.02" ...] [--seeds 10]

For each model, guarantee and seed, the pool of labelled samples is dealt anew: some are given to
the program, which calibrates on most of these and searches on the rest of them; the remaining ones
are the second held-out set. The pool is the test data, which no model was trained on; `--pool
calib` deals out the calibration data, which some models were, and judges by the test data.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import models
from models.recipes.fashion import FashionRecipe
from onnx_factorize import BudgetError, factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.goals.guarantee import MeasuredGuarantee
from onnx_factorize.goals.guarantee_search import measure
from onnx_factorize.options import Selection
from onnx_factorize.outputs import output_kinds, survey
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

_GUARANTEES = (
    "max_divergence=0.01",
    "max_divergence=0.05",
    "keep=agreement=0.97",
    "keep=top1=0.97",
)

Arrays = dict[str, npt.NDArray[np.generic]]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--guarantee", "guarantees", multiple=True, default=_GUARANTEES)
@click.option("--seeds", default=10, show_default=True)
@click.option("--samples", default=1024, show_default=True)
@click.option("--pool", type=click.Choice(["test", "calib"]), default="test", show_default=True)
@click.option("--weighting", default="fisher", show_default=True)
def main(
    names: tuple[str, ...],
    guarantees: tuple[str, ...],
    seeds: int,
    samples: int,
    pool: str,
    weighting: str,
) -> None:
    """Make guarantees about the models NAMES, or about two small ones."""
    print(f"{samples} samples given, of the {pool} data; {weighting}; {seeds} seeds")
    print(
        "| model | guarantee | holds on new data | figure there | bound | budgets | measurements |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in names or ("fashion-cnn", "fashion-vit"):
        recipe = models.get(name)
        assert isinstance(recipe, FashionRecipe), "only these have labelled images in arrays"
        model = model_io.load(recipe.model_path)
        test = _arrays(recipe.test_file, scaled=True)
        given = test if pool == "test" else _arrays(recipe.calib_path, scaled=False)
        for guarantee in guarantees:
            option, _, text = guarantee.partition("=")
            asked: dict[str, Any] = {option: text}
            said = (
                MeasuredGuarantee.parse(text)
                if option == "keep"
                else MeasuredGuarantee("divergence", float(text))
            )
            found = []
            start = time.perf_counter()
            for seed in range(seeds):
                order = np.random.default_rng(seed).permutation(len(given["label"]))
                first = {key: value[np.sort(order[:samples])] for key, value in given.items()}
                new = test
                if pool == "test":
                    new = {key: value[order[samples:]] for key, value in given.items()}
                with tempfile.TemporaryDirectory() as folder:
                    data = _written(Path(folder) / "given.npz", first)
                    try:
                        result = factorize(
                            recipe.model_path,
                            data,
                            samples=samples,
                            seed=seed,
                            weighting=weighting,
                            **asked,
                        )
                    except BudgetError as error:
                        print(f"{name}, {guarantee}, seed {seed}: {error}", flush=True)
                        continue
                    there = _measured(said, model, result.model, new, Path(folder) / "new.npz")
                    outcome = result.report.promise
                    assert outcome is not None
                    budget = float(outcome["budget"].partition("=")[2])
                    found.append(
                        (
                            said.strain(there) <= 1,
                            there,
                            outcome["bound"],
                            budget,
                            outcome["measurements"],
                        )
                    )
            seconds = (time.perf_counter() - start) / seeds
            _print(name, guarantee, found, seeds, seconds)


def _print(
    name: str,
    guarantee: str,
    found: list[tuple[bool, float, float, float, int]],
    seeds: int,
    seconds: float,
) -> None:
    if not found:
        print(f"| {name} | `{guarantee}` | never made | | | | |", flush=True)
        return
    holds, there, bounds, budgets, counts = (
        np.array(column) for column in zip(*found, strict=True)
    )

    def spread(values: npt.NDArray[np.float64]) -> str:
        return f"{np.median(values):.3g} ({values.min():.3g} to {values.max():.3g})"

    made = "" if len(found) == seeds else f" (made in {len(found)} of {seeds})"
    print(
        f"| {name} | `{guarantee}` | {holds.sum()} of {len(found)}{made} | {spread(there)} | "
        f"{spread(bounds)} | {spread(budgets)} | {spread(counts)}, {seconds:.0f} s |",
        flush=True,
    )


def _measured(
    said: MeasuredGuarantee, dense: object, compressed: object, new: Arrays, path: Path
) -> float:
    """The guaranteed figure of samples that the search never saw."""
    loaded = model_io.load(dense)  # type: ignore[arg-type]
    selection = Selection(len(new["label"]), 0.999999, batch_size=256)
    data = open_calibration(_written(path, new), Signature.of(loaded), selection)
    runtime = OnnxRuntime()
    session = runtime.session(loaded)
    outputs = survey(session, output_kinds(loaded, {}), data).outputs
    small = runtime.session(compressed)  # type: ignore[arg-type]
    return measure(said, session, small, outputs, data, Progress()).value


def _arrays(folder: Path, *, scaled: bool) -> Arrays:
    """All arrays of a folder of .npz, or of one; images of bytes as the models want them."""
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else [folder]
    loaded = [dict(np.load(file)) for file in files]
    arrays = {key: np.concatenate([each[key] for each in loaded]) for key in loaded[0]}
    if scaled:
        arrays["image"] = arrays["image"].astype(np.float32) / 255
    return arrays


def _written(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


if __name__ == "__main__":
    main()
