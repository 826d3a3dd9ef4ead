"""Batches of which everything that is observed fits in memory, whatever the size of their samples.

Files of texts or lines are often in the order of their lengths: what one sample needs says nothing
of the others, but what is observed for each byte that is fed is about the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..calibration import Batch, CalibrationData
from .observer import Observer

__all__ = ["micro_batches"]

# Memory for what is observed of one batch.
_OBSERVED_BYTES = 2**28


def micro_batches(
    data: CalibrationData, only: npt.NDArray[np.bool_] | None, *observers: Observer
) -> Iterator[Batch]:
    """Yields batches of calibration samples that fit.

    Args:
        data: The calibration data.
        only: Which calibration samples, shape (samples,); all by default.
        observers: What will observe them. One sample is run to see how much that is.
    """
    sample = data.typical("calibration")
    observed = max(observer.observed_bytes(sample) for observer in observers)
    share = observed / max(1, _fed(sample))
    for batch in data.batches("calibration", only=only):
        own = share * _fed(batch) / batch.samples
        yield from data.parts(batch, max(1, int(_OBSERVED_BYTES / max(1.0, own))))


def _fed(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.feeds.values())
