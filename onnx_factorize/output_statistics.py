"""What the dense model's outputs are like: how many predictions a sample, how much they vary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from .calibration import CalibrationData
from .divergence import class_axis
from .passes import OutputKind, OutputSeed
from .rows import padding_mask_name, unmasked
from .session import Runtime, Session

__all__ = ["output_seeds", "resolve_axes"]

# Samples that settle the scale of the outputs.
_SAMPLES = 128


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


def output_seeds(
    session: Session, kinds: Mapping[str, OutputKind], data: CalibrationData
) -> dict[str, OutputSeed]:
    """How to seed the gradient at each output, so that losses are divergences of a prediction.

    A sample with P predictions in an output adds 1/P of each to that output's divergence (see
    `divergence`), and a gaussian prediction has the variance that the output has over the data.
    """
    totals = {name: np.zeros(4) for name, kind in kinds.items() if kind.kind != "ignore"}
    masks: dict[str, str | None] = dict.fromkeys(totals)
    samples = 0
    for batch in data.batches("calibration"):
        values = session.run(batch.feeds, batch.origin)
        name_of_mask = padding_mask_name(batch.feeds)
        mask = None if name_of_mask is None else batch.feeds[name_of_mask].astype(bool)
        for name in totals:
            value = values[name]
            kept = unmasked(value, mask).astype(np.float64)
            if mask is not None and value.ndim == 3 and value.shape[:2] == mask.shape:
                masks[name] = name_of_mask
            kind = kinds[name]
            classes = kept.shape[kind.axis or 0] if kind.kind == "categorical" else 1
            totals[name] += (kept.size / classes, kept.sum(), np.square(kept).sum(), kept.size)
        samples += batch.samples
        if samples >= _SAMPLES:
            break
    seeds = {}
    for name, (predictions, plain, squares, size) in totals.items():
        variance = squares / size - (plain / size) ** 2 if kinds[name].kind == "gaussian" else 1.0
        if not predictions or not variance > 0:
            continue
        scale = float(1 / np.sqrt(variance * predictions / samples))
        seeds[name] = OutputSeed(kinds[name], scale, masks[name])
    return seeds
