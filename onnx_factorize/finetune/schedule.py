"""How the cost that is allowed comes down to the budget during training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from ..errors import InputError

__all__ = ["CURVES", "Schedule"]

# How much of the way is still to go, by the share of the time that is over.
CURVES: dict[str, Callable[[float], float]] = {
    "cubic": lambda done: (1 - done) ** 3,  # Zhu and Gupta, "To prune, or not to prune", 2017
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "immediate": lambda _: 0.0,
}


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A cost that falls from one value to another, and then holds.

    Attributes:
        start: Cost at first.
        end: Cost at last.
        steps: When it is reached.
        delay: Steps before it begins to fall.
        curve: One of `CURVES`.
    """

    start: float
    end: float
    steps: int
    delay: int = 0
    curve: str = "cubic"

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise InputError(f"There is no curve '{self.curve}'; use one of {', '.join(CURVES)}.")

    def at(self, step: int) -> float:
        """The cost allowed after a number of steps."""
        length = self.steps - self.delay
        done = min(max((step - self.delay) / length, 0.0), 1.0) if length > 0 else 1.0
        if step < self.delay:
            return self.start
        return self.end + (self.start - self.end) * CURVES[self.curve](done)
