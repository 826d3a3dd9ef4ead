"""A sample of zeros, where there are no data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .signature import Signature

__all__ = ["zeros"]

# The length that stands in for an axis which the model leaves open.
_OPEN_AXIS = 64


def zeros(signature: Signature) -> dict[str, npt.NDArray[Any]]:
    """A sample of zeros, the first of a decoder; without an input whose rank is not declared.

    Args:
        signature: The inputs; those that are filled in may be missing.
    """
    feeds: dict[str, npt.NDArray[Any]] = {}
    for spec in signature.inputs:
        if spec.dims is None or spec.name in signature.fills.names:
            continue
        shape = [d if isinstance(d, int) else _OPEN_AXIS for d in spec.dims]
        if signature.batched and not isinstance(spec.dims[0], int):
            shape[0] = 1
        feeds[spec.name] = np.zeros(shape, spec.dtype)
    return feeds | signature.fills.made(feeds)
