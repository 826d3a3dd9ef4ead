"""One multiplier for all targets: what a component costs decides how large it must be to stay."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["least_multiplier", "weight_of"]


def weight_of(multiplier: float, unit: float) -> float:
    """The threshold of a target: a component stays if ½ σ² > multiplier · what it costs.

    Args:
        multiplier: Loss that is accepted to save one unit of cost.
        unit: What one component of the target costs.
    """
    return float((2 * multiplier * unit) ** 0.5)


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
