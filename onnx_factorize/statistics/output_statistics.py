"""What the dense model's outputs are like: number, variance, and which samples are alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..calibration import CalibrationData
from ..divergence import class_axis
from ..passes import GivenLabels, OutputKind, OutputSeed
from ..session import Runtime, Session
from .folds import deal
from .given_labels import Labels, check_labels, labelled_output
from .rows import unmasked
from .signatures import signature

__all__ = ["SURVEYED", "Survey", "resolve_axes", "survey"]


def resolve_axes(
    model: ir.Model, kinds: Mapping[str, OutputKind], data: CalibrationData, runtime: Runtime
) -> dict[str, OutputKind]:
    """The kinds with every class axis known, looked for in one batch where the graph is silent."""
    unknown = [name for name, kind in kinds.items() if kind.kind == "categorical"]
    if all(kinds[name].axis is not None for name in unknown):
        return dict(kinds)
    batch = next(data.batches("calibration"))
    values = Session(model, runtime).run(batch.feeds, batch.origin)
    return {
        name: dataclasses.replace(kind, axis=class_axis(values[name].astype(np.float64)))
        if kind.kind == "categorical" and kind.axis is None
        else kind
        for name, kind in kinds.items()
    }


# Samples that settle what the outputs are like.
SURVEYED = 1024


@dataclasses.dataclass(frozen=True)
class Survey:
    """What the dense model makes of the calibration data.

    Attributes:
        seeds: Output name to how the gradient is seeded there.
        folds: The fold of each calibration sample, shape (samples,); see `folds`.
    """

    seeds: dict[str, OutputSeed]
    folds: npt.NDArray[np.int64]


def survey(
    session: Session,
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    folds: int,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
    *,
    labels: Labels = "drawn",
) -> Survey:
    """Runs the dense model over calibration samples, so many that they stand for all.

    Gradients are seeded so that losses are divergences of a prediction: a sample with P
    predictions in an output adds 1/P of each to that output's divergence (see `divergence`), and a
    gaussian prediction has the variance that the output has over the data. A sample that is left
    out takes the fold of the last one before it: what is alike is mostly adjacent.

    Args:
        session: The dense model.
        kinds: What each output stands for.
        data: The calibration data.
        folds: How many folds to deal the samples to.
        seed: Seed of the dealing.
        advance: Called after each batch with its number of samples.
        labels: Where labels come from: `drawn` by the model, or `given` with the data; then all
            samples are looked at, and their labels checked.

    Raises:
        InputError: Labels are to be given, and are not, or do not fit.
    """
    labelled = labelled_output(kinds) if labels == "given" else None
    classes = 1
    totals = {name: np.zeros(4) for name, kind in kinds.items() if kind.kind != "ignore"}
    masks: dict[str, str | None] = dict.fromkeys(totals)
    samples = 0
    only = data.some(SURVEYED if labelled is None else data.calibration_samples)
    signatures: list[npt.NDArray[np.float32] | None] = []
    for batch in data.batches("calibration", only=only):
        values = session.run(batch.feeds, batch.origin)
        mask = batch.mask
        known_mask = (
            data.padding.means == "keep" and batch.feeds[data.padding.input or ""].ndim == 2
        )
        name_of_mask = data.padding.input if known_mask else None
        for name in totals:
            value = values[name]
            kept = unmasked(value, mask).astype(np.float64)
            if mask is not None and value.ndim == 3 and value.shape[:2] == mask.shape:
                masks[name] = name_of_mask
            kind = kinds[name]
            classes = value.shape[kind.axis or 0] if kind.kind == "categorical" else 1
            totals[name] += (kept.size / classes, kept.sum(), np.square(kept).sum(), kept.size)
            if name == labelled:
                check_labels(batch, kind, value.shape)
        samples += batch.samples
        signatures.append(signature({n: values[n] for n in totals}, kinds, batch.samples, mask))
        advance(batch.samples)
    seeds = {}
    for name, (predictions, plain, squares, size) in totals.items():
        variance = squares / size - (plain / size) ** 2 if kinds[name].kind == "gaussian" else 1.0
        if not predictions or not variance > 0:
            continue
        scale = float(1 / np.sqrt(variance * predictions / samples))
        given = GivenLabels(classes, float(np.sqrt(variance))) if name == labelled else None
        seeds[name] = OutputSeed(kinds[name], scale, masks[name], given)
    known = [each for each in signatures if each is not None]
    alike = len({each.shape[1] for each in known}) == 1 and len(known) == len(signatures)
    dealt = deal(np.concatenate(known) if alike else None, samples, seed, folds)
    # The first sample is always among those chosen.
    return Survey(seeds, dealt[np.cumsum(only) - 1])
