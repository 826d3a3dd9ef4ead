"""Uncertainty of figures of few samples."""

from __future__ import annotations

import math

from .arrays import Array

__all__ = ["share_interval", "standard_error"]

# Within so many standard errors a normal figure lies 19 times in 20.
_Z = 1.96


def standard_error(draws: Array | None) -> float | None:
    """The standard error of the mean of independent draws; None where they do not tell.

    Args:
        draws: Shape (samples,); None for none.
    """
    if draws is None or len(draws) < 2:
        return None
    error = float(draws.std(ddof=1)) / math.sqrt(len(draws))
    return error if math.isfinite(error) else None


def share_interval(share: float, samples: int) -> tuple[float, float]:
    """Wilson's interval, 95 %, of a share that was found in independent samples.

    Args:
        share: From 0 to 1.
        samples: At least 1.
    """
    spread = _Z * _Z / samples
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / samples + spread / (4 * samples)) / (1 + spread)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
