"""Which learning rate: a few steps at each of some, from the same start, tell.

Models differ by a hundred in what they bear: a small network that was cut to a tenth learns fast, a
transformer that lost little unlearns at the same rate. A short trial, with a warm-up and a fall of
its own, is cheap beside the training that follows.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["RATES", "find_rate", "trial_steps"]

# From the fastest that any model here bore to the slowest that was worth its time.
RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)

# Steps of a trial, as a share of all that follow, and their bounds.
_SHARE = 0.03
_LEAST, _MOST = 8, 64

# In few steps a rate gains less than it does in many, the more so the larger it is. So the largest
# is taken that gains this share of what the best gains.
_GAIN = 0.75


def trial_steps(steps: int) -> int:
    """The steps of one trial before a training of so many."""
    return min(_MOST, max(_LEAST, round(_SHARE * steps)))


def find_rate(measure: Callable[[float], float], start: float) -> float:
    """Finds a learning rate.

    Args:
        measure: From a rate to the divergence of unseen samples after a trial of it; may be inf.
        start: The divergence without training.

    Returns:
        One of `RATES`: the smallest where none gains anything.
    """
    found: dict[float, float] = {}
    previous = float("inf")
    for rate in RATES:
        found[rate] = measure(rate)
        # Rates below one that gains, and that gain less, will gain less still.
        if previous < min(start, found[rate]):
            break
        previous = found[rate]
    least = min(found.values())
    if not least < start:
        return RATES[-1]
    enough = start - _GAIN * (start - least)
    return max(rate for rate, divergence in found.items() if divergence <= enough)
