"""Batches of which everything that is observed fits in memory, however large samples are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..calibration import Batch, CalibrationData
from .observer import Observer

__all__ = ["micro_batches"]


def micro_batches(
    data: CalibrationData,
    only: npt.NDArray[np.bool_] | None,
    observer: Observer,
    *,
    segmented: bool = False,
) -> Iterator[Batch]:
    """Yields batches of calibration samples that fit.

    Args:
        data: The calibration data.
        only: Which calibration samples, shape (samples,); all by default.
        observer: What will observe them. One sample is run to see how much that is.
        segmented: Whether it goes segment by segment, where it can.
    """
    return data.micro_batches("calibration", only, observer.taken(data, segmented=segmented))
