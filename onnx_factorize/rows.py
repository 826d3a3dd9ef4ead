"""From activations to the rows that a weight multiplies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .passes import Convolution

__all__ = ["convolution_rows", "linear_rows", "padding_mask", "unmasked"]

Array = npt.NDArray[Any]

# A mask that is 1 where there is data. torch's key_padding_mask means the opposite.
_MASK_NAME = re.compile(r"(attention|input|padding|pad)_?mask|^mask$", re.IGNORECASE)


def padding_mask(feeds: Mapping[str, Array]) -> npt.NDArray[np.bool_] | None:
    """Which positions of which samples hold data, shape (batch, length); None if all do."""
    for name, array in feeds.items():
        if (
            _MASK_NAME.search(name)
            and "key_padding" not in name
            and array.ndim == 2
            and array.dtype.kind in "iub"
        ):
            return array.astype(bool)
    return None


def unmasked(array: Array, mask: npt.NDArray[np.bool_] | None) -> Array:
    """The positions of an array that hold data, stacked, if its leading axes are the mask's."""
    if mask is None or array.ndim < 2:
        return array
    if array.shape[:2] == mask.shape and array.ndim > 2:
        return array[mask]
    if array.ndim == 2 and mask.shape[1] > 1 and array.shape[0] == mask.size:
        return array[mask.reshape(-1)]
    return array


def linear_rows(
    x: Array, *, transposed: bool = False, mask: npt.NDArray[np.bool_] | None = None
) -> Array:
    """Rows of a matrix product's input.

    Args:
        x: Shape (…, K), or (K, rows) if `transposed`.
        transposed: Whether the columns are the rows (Gemm with `transA`).
        mask: Positions that hold data.

    Returns:
        Shape (1, rows, K).
    """
    if transposed:
        return np.ascontiguousarray(x.T)[None]
    kept = unmasked(x, mask)
    return kept.reshape(1, -1, x.shape[-1])


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
    batch, channels, *spatial = x.shape
    output = geometry.output_shape(tuple(spatial))
    total = int(np.prod(output))
    if total <= positions:
        chosen = np.broadcast_to(np.arange(total), (batch, total))
    else:
        chosen = rng.random((batch, total)).argpartition(positions, axis=1)[:, :positions]
    if geometry.pointwise:
        rows = np.take_along_axis(x.reshape(batch, channels, total), chosen[:, None, :], axis=2)
        rows = rows.transpose(1, 0, 2).reshape(groups, channels // groups, -1)
        return np.ascontiguousarray(rows.transpose(0, 2, 1))
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
