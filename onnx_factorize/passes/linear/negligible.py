"""Numbers of factors that are nothing to their product, and cost a processor much.

A dead channel leaves factors of 1e-38 to 1e-45. Below 1.2e-38 a float32 is subnormal, and most
processors compute with such numbers a hundred times slower than with others.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from .factors import Factors

__all__ = ["LEAST", "significant", "tiny", "without_negligible"]

# What is smaller is nothing beside the numbers that a network computes with, and makes subnormal
# ones of those that it multiplies.
LEAST = 1e-30

# Products that are compared at once.
_AT_ONCE = 2**22


def tiny(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Marks the numbers that are smaller than `LEAST`, and not zero."""
    size = np.abs(array)
    return np.asarray((size < LEAST) & (size > 0))


def significant(array: Array) -> Array:
    """An array with zero in place of numbers below `LEAST`."""
    return np.asarray(np.where(np.abs(array) < LEAST, 0.0, array))


def without_negligible(factors: Factors, dtype: npt.DTypeLike) -> Factors:
    """Factors with zero in place of what is lost in the rounding of their product.

    An element of the factor down that multiplies an input adds to each output its product with an
    element of the factor up. It goes if for every output that is below half a unit in the last
    place of the largest product that the same input adds there. The factor up likewise, input by
    input. Of three factors, the first and the last are judged by what the others make together.

    Args:
        factors: The factors.
        dtype: The type in which they compute; of half precision, sums are in single precision.
    """
    double = np.dtype(dtype) == np.float64
    unit = float(np.finfo(np.float64 if double else np.float32).eps) / 2
    down, up, core = factors.down, factors.up, factors.core
    before, after = down, up
    if core is not None:
        groups, inner, _, outer = core.shape
        after = (core.reshape(groups, -1, outer) @ up).reshape(groups, inner, -1)
        along = np.einsum("gkr,greo->gkeo", down, core, optimize=True)
        before = along.reshape(groups, -1, outer)
    return dataclasses.replace(
        factors,
        down=np.stack([_kept(a, b, unit) for a, b in zip(down, after, strict=True)]),
        up=np.stack([_kept(b.T, a.T, unit).T for a, b in zip(before, up, strict=True)]),
    )


def _kept(left: Array, right: Array, unit: float) -> Array:
    """The left factor of a product, without what is lost in its rounding.

    Args:
        left: Shape (K, rank).
        right: Shape (rank, N).
        unit: The rounding, relative to the largest product of a row.
    """
    size, other = np.abs(left), np.abs(right)
    largest = size * other.max(axis=1, initial=0.0)
    # No other element can be below the rounding in the column of its largest product.
    maybe = (size > 0) & (largest <= unit * largest.max(axis=1, keepdims=True, initial=0.0))
    rows = np.flatnonzero(maybe.any(axis=1))
    if not len(rows):
        return left
    kept: Array = left.copy()
    for chunk in np.array_split(rows, -(-len(rows) * right.size // _AT_ONCE)):
        products = size[chunk, :, None] * other
        lost = (products <= unit * products.max(axis=1, keepdims=True)).all(axis=2)
        kept[chunk] = np.where(lost, 0.0, left[chunk])
    return kept
