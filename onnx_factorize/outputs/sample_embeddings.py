"""Sample embeddings: a short vector of the model's outputs, alike for alike samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..passes import OutputKind

__all__ = ["signature"]


# Features of one output; more are projected at random, which keeps angles.
_FEATURES = 256

# An image or a map is averaged over so many blocks along each of its axes.
_BLOCKS = 4

_FLOOR = 1e-6
_RANGE = 1e3


def signature(
    values: Mapping[str, AnyArray],
    kinds: Mapping[str, OutputKind],
    samples: int,
    mask: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32] | None:
    """The signatures of the samples of a batch.

    Args:
        values: Output name to what the model computed.
        kinds: What each output stands for.
        samples: Samples of the batch.
        mask: Which positions hold data, shape (samples, length).

    Returns:
        Shape (samples, features); None if no output belongs to single samples.
    """
    parts = []
    for name, value in values.items():
        if value.ndim < 2 or value.shape[0] != samples or value.dtype.kind != "f":
            continue
        features = _pooled(value.astype(np.float32), kinds[name], mask)
        if features.shape[1] > _FEATURES:
            random = np.random.default_rng(0).standard_normal((features.shape[1], _FEATURES))
            features = features @ (random / np.sqrt(_FEATURES)).astype(np.float32)
        parts.append(features)
    return np.concatenate(parts, axis=1) if parts else None


def _pooled(
    value: npt.NDArray[np.float32], kind: OutputKind, mask: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float32]:
    """The classes or features of each sample, averaged over positions: (samples, features)."""
    # Minus infinity is the logit of a class that is ruled out.
    value = np.nan_to_num(value, nan=0.0, posinf=_RANGE, neginf=-_RANGE)
    if kind.kind == "categorical" and kind.scale == "probability":
        value = np.log(np.maximum(value, _FLOOR))
    elif kind.kind == "bernoulli":
        kept = np.clip(value, _FLOOR, 1 - _FLOOR)
        value = np.log(kept / (1 - kept))
    if kind.kind == "categorical" and kind.axis is not None:
        rows = np.moveaxis(value, kind.axis, -1)
    elif value.ndim > 3:
        rows = np.moveaxis(value, 1, -1)
    else:
        rows = value
    if rows.ndim == 3 and mask is not None and rows.shape[:2] == mask.shape:
        weights = mask.astype(np.float32)[:, :, None]
        return np.asarray((rows * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))
    if rows.ndim <= 3:
        return rows if rows.ndim == 2 else rows.mean(axis=1)
    for axis in range(1, rows.ndim - 1):
        blocks = np.array_split(rows, min(_BLOCKS, rows.shape[axis]), axis=axis)
        rows = np.stack([block.mean(axis=axis) for block in blocks], axis=axis)
    return rows.reshape(len(rows), -1)
