"""The schedule by which the cost comes down to the budget during training."""

from __future__ import annotations

import dataclasses

__all__ = ["Schedule"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A cost that falls from one value to another, as a cubic, and then holds.

    Zhu and Gupta, "To prune, or not to prune", 2017.

    Attributes:
        start: Cost at first.
        end: Cost at last.
        steps: When it is reached.
        every: Optimizer steps from one proximal step to the next.
        dense: What all of the operators cost dense, of which costs are reported as shares.
    """

    start: float
    end: float
    steps: int
    every: int = 1
    dense: float = 1.0

    def at(self, step: int) -> float:
        """The cost allowed after a number of steps."""
        done = min(max(step / self.steps, 0.0), 1.0) if self.steps > 0 else 1.0
        return self.end + (self.start - self.end) * (1 - done) ** 3
