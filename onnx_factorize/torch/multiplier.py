"""One multiplier for all targets: what a component costs decides how large it must be to stay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["cost_at", "find_multiplier", "weight_of"]


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
    if cost_at(0.0, spectra, units, dense) <= allowed:
        return 0.0
    critical = [s.square().amax() / (2 * unit) for s, unit in zip(spectra, units, strict=True)]
    high = float(torch.stack(critical).max()) * (1 + 1e-9)
    low = high * 1e-18
    if cost_at(low, spectra, units, dense) <= allowed:
        return low
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        if cost_at(middle, spectra, units, dense) <= allowed:
            high = middle
        else:
            low = middle
    return high
