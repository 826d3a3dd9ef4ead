"""From activations to the rows that a weight multiplies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..passes import Convolution

__all__ = [
    "channel_rows",
    "convolution_rows",
    "leading_mask",
    "linear_rows",
    "unmasked",
]

Array = npt.NDArray[Any]


def unmasked(array: Array, mask: npt.NDArray[np.bool_] | None) -> Array:
    """The positions of an array that hold data, stacked, if its leading axes are the mask's."""
    kept = leading_mask(array.shape, mask)
    return array if kept is None else array[kept]


def leading_mask(
    shape: tuple[int, ...], mask: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_] | None:
    """The mask as it indexes an array of some shape; None if its leading axes are not the mask's.

    Args:
        shape: The array's.
        mask: Positions that hold data, shape (batch, length).
    """
    if mask is None or len(shape) < 2:
        return None
    if shape[:2] == mask.shape and len(shape) > 2:
        return mask
    if len(shape) == 2 and mask.shape[1] > 1 and shape[0] == mask.size:
        return mask.reshape(-1)
    return None


def linear_rows(
    x: Array, *, transposed: bool = False, mask: npt.NDArray[np.bool_] | None = None
) -> Array:
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


def channel_rows(x: Array, groups: int, positions: int, rng: np.random.Generator) -> Array:
    """Rows of an image's channels at randomly sampled positions.

    Args:
        x: Shape (batch, channels, *spatial).
        groups: Groups of channels.
        positions: Positions to sample from each sample of the batch, at most.
        rng: The source of the choice.

    Returns:
        Shape (groups, rows, channels / groups).
    """
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, channels, -1)
    if flat.shape[2] > positions:
        chosen = sampled_positions(batch, flat.shape[2], positions, rng)
        flat = np.take_along_axis(flat, chosen[:, None, :], axis=2)
    grouped = flat.reshape(batch, groups, channels // groups, -1).transpose(1, 0, 3, 2)
    return np.ascontiguousarray(grouped).reshape(groups, -1, channels // groups)


def convolution_rows(
    x: Array,
    geometry: Convolution,
    groups: int,
    positions: int,
    rng: np.random.Generator,
) -> Array:
    """Rows of im2col at randomly sampled output positions; the rest is never unfolded.

    Args:
        x: Shape (batch, channels, *spatial).
        geometry: The convolution's attributes.
        groups: The convolution's groups.
        positions: Output positions to sample from each sample of the batch, at most.
        rng: The source of the choice.

    Returns:
        Shape (groups, rows, K) with K = channels / groups * kernel elements, in the weight's order.
    """
    if geometry.pointwise:
        return channel_rows(x, groups, positions, rng)
    batch, channels, *spatial = x.shape
    output = geometry.output_shape(tuple(spatial))
    chosen = sampled_positions(batch, int(np.prod(output)), positions, rng)
    rank = len(spatial)
    pads = geometry.padding(tuple(spatial))
    if any(pads):
        x = np.pad(x, [(0, 0), (0, 0), *((pads[i], pads[rank + i]) for i in range(rank))])
    # Index of every kernel element's input, for every sampled position, one axis at a time.
    kernel = np.indices(geometry.kernel).reshape(rank, -1)
    places = np.unravel_index(chosen.reshape(-1), output)
    index = tuple(
        place[:, None] * geometry.strides[i] + kernel[i] * geometry.dilations[i]
        for i, place in enumerate(places)
    )
    sample = np.repeat(np.arange(batch), chosen.shape[1])[:, None]
    # Advanced indices on both sides of the channel axis put that axis last: (rows, kernel, c).
    everywhere = (sample, slice(None), *index)
    patches = x[everywhere].transpose(2, 0, 1)
    count, elements = patches.shape[1:]
    grouped = patches.reshape(groups, channels // groups, count, elements).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grouped).reshape(groups, count, -1)


def sampled_positions(
    batch: int, total: int, positions: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """At most `positions` of `total` places for each sample, shape (batch, places)."""
    if total <= positions:
        return np.broadcast_to(np.arange(total), (batch, total))
    return rng.random((batch, total)).argpartition(positions, axis=1)[:, :positions]
