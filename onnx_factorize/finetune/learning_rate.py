"""The learning rate over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["share_of_rate"]

# Share of the steps in which the learning rate rises.
_WARM_UP = 0.05

# What it falls to, as a share of its largest.
_LAST_RATE = 0.01


def share_of_rate(steps: int) -> Callable[[int], float]:
    """The learning rate as a share of its largest: it rises for a while, then falls as a cosine."""
    warm_up = max(1, round(_WARM_UP * steps))

    def share(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        done = min(1.0, (step - warm_up) / max(1, steps - warm_up))
        return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))

    return share
