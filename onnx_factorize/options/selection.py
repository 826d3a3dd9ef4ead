"""Selection of calibration samples, as the user gives it."""

from __future__ import annotations

import dataclasses

from ..errors import InputError, at_least
from .fields import option

__all__ = ["Selection"]


@dataclasses.dataclass(frozen=True)
class Selection:
    """The samples to use.

    Attributes:
        samples: At most this many, spread evenly over the data.
        holdout: Fraction of them that is held out of calibration, to verify the result with.
        batch_size: Samples to run at once, where the model leaves it open.
        seed: Seed of the choice of held-out samples.
    """

    samples: int = option(1024, "Use at most so many.")
    holdout: float = option(0.2, "Share of samples to verify on.")
    batch_size: int = option(32, "Samples run at once.")
    seed: int = option(0, "Seed of what is drawn, and of the samples to verify on.")

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise InputError("--holdout must be at least 0 and below 1.")
        at_least("--samples", self.samples, 1)
        at_least("--batch-size", self.batch_size, 1)
        at_least("--seed", self.seed, 0)
