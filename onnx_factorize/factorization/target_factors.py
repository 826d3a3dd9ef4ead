"""The Kronecker factors of a target, from its statistics."""

from __future__ import annotations

from ..passes import Target
from ..statistics.model_statistics import TargetStatistics
from .bias_correction import centred_signal
from .kronecker_factors import KroneckerFactors
from .tied_weights import tied_kronecker_factors

__all__ = ["kronecker_factors"]


def kronecker_factors(
    target: Target, statistics: TargetStatistics, *, gradient: bool = True
) -> KroneckerFactors:
    """A target's weight with its moments, about what a bias absorbs.

    Args:
        target: The target.
        statistics: What calibration found.
        gradient: Whether the moment of gradients is used; without, all directions of y count alike.
    """
    if target.tied:
        return tied_kronecker_factors(target, statistics, gradient=gradient)
    found = statistics.gradient if gradient else None
    return KroneckerFactors(
        target.matrices(),
        target.side,
        centred_signal(target, statistics),
        None if found is None else found.mean,
    )
