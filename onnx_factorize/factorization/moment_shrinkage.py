"""Shrinkage of moments, which say too much of the few samples that made them.

They are moved towards what is known without data (see `kronecker_factors`), by shares that differ
from target to target and are found by cross-validation (see `shrinkage_choice`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .kronecker_factors import KroneckerFactors, Prior
from .spectrum import Spectrum

__all__ = ["LIGHT", "SHRINKAGES", "MomentShrinkage", "shrinkages_for", "shrunk_spectrum"]


@dataclasses.dataclass(frozen=True)
class MomentShrinkage:
    """A share by which each moment of a target is moved to what is known without data.

    Attributes:
        signal: Share of the mean energy of a direction that is added to A.
        gradient: Likewise to G, where all directions count alike; None for no G at all.
        prior: What is added to A: all directions alike, or those that the weight itself reads.
    """

    signal: float = 0.0
    gradient: float | None = 0.0
    prior: Prior = "identity"


# The moments of a few samples overfit, and how much differs from target to target: each takes the
# shrinkage whose directions do best on data that did not make them (see `losses`).
SHRINKAGES = (
    MomentShrinkage(0.0, 0.0),
    MomentShrinkage(0.03, 0.1),
    MomentShrinkage(0.03, None),
    MomentShrinkage(0.4, 1.0),
    MomentShrinkage(0.4, 1.0, "weight"),
    # From here on for few samples only: see `shrinkages_for`.
    MomentShrinkage(0.03, 1.0),
    MomentShrinkage(0.4, 0.1),
    MomentShrinkage(0.4, None),
    MomentShrinkage(4.0, 1.0),
    MomentShrinkage(4.0, None),
    MomentShrinkage(0.1, 0.1, "weight"),
    MomentShrinkage(0.4, None, "weight"),
    MomentShrinkage(2.0, 1.0, "weight"),
    MomentShrinkage(2.0, None, "weight"),
)
_FOR_MANY_SAMPLES = 5
_MANY_SAMPLES = 768

# Where few are tried, those that differ most from one another: by many samples, and by few.
_FEW_FOR_MANY_SAMPLES = (1, 2, 3)
_FEW = (1, 5, 11)

# That of a loss which is not cross-validated.
LIGHT = SHRINKAGES[1]


def shrinkages_for(samples: int, most: int = len(SHRINKAGES)) -> Sequence[int]:
    """The indices of the shrinkages that are worth trying with so many samples.

    Args:
        samples: The samples that moments are made of.
        most: As many as are to be tried, at most.
    """
    many = samples >= _MANY_SAMPLES
    if most < len(_FEW) + 1:
        return (_FEW_FOR_MANY_SAMPLES if many else _FEW)[:most]
    return range(_FOR_MANY_SAMPLES if many else len(SHRINKAGES))[:most]


def shrunk_spectrum(factors: KroneckerFactors, rows: int, shrinkage: MomentShrinkage) -> Spectrum:
    """The spectrum by shrunk moments, at least as far as so many rows demand."""
    least = _damping(factors.signal.shape[-1], rows)
    return factors.decompose(
        max(least, shrinkage.signal),
        None if shrinkage.gradient is None else max(least, shrinkage.gradient),
        shrinkage.prior,
    )


def _damping(width: int, count: int) -> float:
    """Share of the mean energy to add to moments of `width` x `width` made of `count` rows.

    With ten rows a dimension the moment is good and damping only guards the numerics; with fewer,
    directions that were not seen must not count as free.
    """
    return float(np.clip(0.03 * width / max(count, 1), 1e-4, 0.03))
