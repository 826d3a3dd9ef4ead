"""One multiplier for all targets: what a component costs decides how large it must be to stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["cost_at", "find_multiplier", "least_multiplier", "weight_of"]


def weight_of(multiplier: float, unit: float) -> float:
    """The threshold of a target: a component stays if ½ σ² > multiplier · what it costs.

    Args:
        multiplier: Loss that is accepted to save one unit of cost.
        unit: What one component of the target costs.
    """
    return float((2 * multiplier * unit) ** 0.5)


def cost_at(
    multiplier: float,
    spectra: Sequence[Tensor],
    units: Sequence[float],
    dense: Sequence[float],
) -> float:
    """What all targets cost under a multiplier.

    Args:
        multiplier: See `weight_of`.
        spectra: Whitened singular values of each target, shape (groups, m). All groups of a target
            get the largest rank of any.
        units: What one component of each costs, in all of its groups.
        dense: What each costs as it is: no more is paid for it.
    """
    total = 0.0
    for sigma, unit, whole in zip(spectra, units, dense, strict=True):
        rank = int((sigma > weight_of(multiplier, unit)).sum(-1).max())
        total += min(rank * unit, whole)
    return total


def find_multiplier(
    allowed: float,
    spectra: Sequence[Tensor],
    units: Sequence[float],
    dense: Sequence[float],
) -> float:
    """The smallest multiplier (to 1e-9 of itself) that brings the cost down to what is allowed.

    See `cost_at` for the arguments. Zero if nothing has to go.
    """
    critical = [s.square().amax() / (2 * unit) for s, unit in zip(spectra, units, strict=True)]
    return least_multiplier(
        allowed,
        lambda multiplier: cost_at(multiplier, spectra, units, dense),
        float(torch.stack(critical).max()),
    )


def least_multiplier(allowed: float, cost: Callable[[float], float], most: float) -> float:
    """The smallest multiplier (to 1e-9 of itself) at which a cost is allowed, or the largest.

    Args:
        allowed: What is allowed.
        cost: What a multiplier costs; it does not rise.
        most: A multiplier that leaves nothing.
    """
    if cost(0.0) <= allowed:
        return 0.0
    high = most * (1 + 1e-9)
    low = high * 1e-18
    if cost(low) <= allowed:
        return low
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        if cost(middle) <= allowed:
            high = middle
        else:
            low = middle
    return high
