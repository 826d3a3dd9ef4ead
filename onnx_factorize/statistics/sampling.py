"""The choice of what is drawn of each sample, or taken from it."""

from __future__ import annotations

import dataclasses

from ..options import Labels, Options

__all__ = ["DRAWN", "Sampling"]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """The choice of what is drawn of each sample, or taken from it.

    Attributes:
        seed: Seed of labels that are drawn, and of the places that are looked at.
        labels: Whether labels are drawn, or come with the data.
        draws: Labels to draw for each sample.
    """

    seed: int = 0
    labels: Labels = "drawn"
    draws: int = 1

    @classmethod
    def of(cls, options: Options, samples: int, macs: float) -> Sampling:
        """As the options ask.

        Args:
            options: The options.
            samples: The samples that are calibrated on.
            macs: Multiplications of the model for one of them.
        """
        draws = options.draws
        if draws is None:
            drawn = options.labels == "drawn"
            draws = options.search_effort.draws(samples, macs) if drawn else 1
        return cls(options.selection.seed, options.labels, draws)


# Labels that are drawn, one for each sample.
DRAWN = Sampling()
