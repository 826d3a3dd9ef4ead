"""From activations to the rows that a weight multiplies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..calibration.positions import unmasked
from ..keyed_random import Keys, places
from ..passes import Convolution

__all__ = [
    "channel_rows",
    "convolution_rows",
    "linear_rows",
]


def linear_rows(
    x: AnyArray, *, transposed: bool = False, mask: npt.NDArray[np.bool_] | None = None
) -> AnyArray:
    """Rows of a matrix product's input or output.

    Args:
        x: Shape (…, K), or (K, rows) if `transposed`.
        transposed: Whether the columns are the rows (the input of a Gemm with `transA`).
        mask: Positions that hold data.

    Returns:
        Shape (1, rows, K).
    """
    if transposed:
        return np.ascontiguousarray(x.T)[None]
    kept = unmasked(x, mask)
    return kept.reshape(1, -1, x.shape[-1])


def channel_rows(x: AnyArray, groups: int, positions: int, keys: Keys) -> AnyArray:
    """Rows of an image's channels at randomly sampled positions.

    Args:
        x: Shape (batch, channels, *spatial).
        groups: Groups of channels.
        positions: Positions to sample from each sample of the batch, at most.
        keys: A key for each sample, which decides the choice.

    Returns:
        Shape (groups, rows, channels / groups).
    """
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, channels, -1)
    if flat.shape[2] > positions:
        chosen = sampled_positions(batch, flat.shape[2], positions, keys)
        flat = np.take_along_axis(flat, chosen[:, None, :], axis=2)
    grouped = flat.reshape(batch, groups, channels // groups, -1).transpose(1, 0, 3, 2)
    return np.ascontiguousarray(grouped).reshape(groups, -1, channels // groups)


def convolution_rows(
    x: AnyArray,
    geometry: Convolution,
    groups: int,
    positions: int,
    keys: Keys,
) -> AnyArray:
    """Rows of im2col at randomly sampled output positions; the rest is never unfolded.

    Args:
        x: Shape (batch, channels, *spatial).
        geometry: The convolution's attributes.
        groups: The convolution's groups.
        positions: Output positions to sample from each sample of the batch, at most.
        keys: A key for each sample, which decides the choice.

    Returns:
        Shape (groups, rows, K) with K = channels / groups * kernel elements, in the weight's order.
    """
    if geometry.pointwise:
        return channel_rows(x, groups, positions, keys)
    batch, channels, *spatial = x.shape
    output = geometry.output_shape(tuple(spatial))
    chosen = sampled_positions(batch, int(np.prod(output)), positions, keys)
    rank = len(spatial)
    pads = geometry.padding(tuple(spatial))
    if any(pads):
        x = np.pad(x, [(0, 0), (0, 0), *((pads[i], pads[rank + i]) for i in range(rank))])
    # Index of every kernel element's input, for every sampled position, one axis at a time.
    kernel = np.indices(geometry.kernel).reshape(rank, -1)
    centres = np.unravel_index(chosen.reshape(-1), output)
    index = tuple(
        place[:, None] * geometry.strides[i] + kernel[i] * geometry.dilations[i]
        for i, place in enumerate(centres)
    )
    sample = np.repeat(np.arange(batch), chosen.shape[1])[:, None]
    # Advanced indices on both sides of the channel axis put that axis last: (rows, kernel, c).
    everywhere = (sample, slice(None), *index)
    patches: AnyArray = x[everywhere].transpose(2, 0, 1)
    count, elements = patches.shape[1:]
    grouped = patches.reshape(groups, channels // groups, count, elements).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grouped).reshape(groups, count, -1)


def sampled_positions(batch: int, total: int, positions: int, keys: Keys) -> npt.NDArray[np.int64]:
    """At most `positions` of `total` places for each sample, shape (batch, places)."""
    if total <= positions:
        return np.broadcast_to(np.arange(total), (batch, total))
    if len(keys) != batch:
        # What axis 0 runs over is not samples alone: windows of them, or heads.
        keys = np.repeat(keys, -(-batch // len(keys)))[:batch]
        keys = np.asarray(keys + np.arange(batch, dtype=np.uint64), np.uint64)
    return places(keys, total, positions)
