"""The positions of an array that hold data, and not padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["leading_mask", "unmasked"]


def unmasked(array: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
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
