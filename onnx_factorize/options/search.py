"""Options on how ranks are chosen."""

from __future__ import annotations

import dataclasses
from typing import get_args

from ..errors import InputError, at_least
from .effort import effort_named
from .fields import option
from .words import EffortName, Labels, Ranks

__all__ = ["SearchOptions"]


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """The choice of ranks.

    Attributes:
        weighting: The metric that decides which directions of a weight matter.
        ranks: `global` allocates ranks where they lose least; `uniform` treats all targets alike.
        effort: How much is computed to choose ranks: `low`, `normal` or `high`.
        max_time: Seconds from the start after which the search for ranks ends with the best so far;
            None for as long as the effort allows. Then a run does not repeat exactly.
        labels: Where weightings that use gradients take labels from: `drawn` by the model itself
            (the true Fisher information), or `given` with the data (the empirical one).
        draws: Labels to draw for each sample; None for up to 4 where the model is cheap.
    """

    weighting: str = option(
        "fisher",
        "How directions of a weight are valued: by what they change in the outputs (fisher, "
        "or diagonal, cheaper), by what reaches them (activation), or alike (none).",
    )
    ranks: Ranks = option("global", "Where ranks go: to where least is lost, or alike to all.")
    effort: EffortName = option(
        "normal",
        "How much is computed to choose ranks: low takes little more than the "
        "calibration, normal about three times as much, high up to ten.",
    )
    max_time: float | None = option(
        None,
        "Choose ranks for so many seconds from the start, at most: then the best so far is taken.",
        metavar="SECONDS",
    )
    labels: Labels = option(
        "drawn",
        "Where labels come from: the model draws them, or they are given as `label` with the data.",
    )
    draws: int | None = option(
        None, "Labels to draw for each sample.  [default: up to 4 where the model is cheap]"
    )

    def _check_search(self) -> None:
        """Finds what is none of the words that an option takes, or out of range."""
        if self.ranks not in get_args(Ranks):
            raise InputError(f"There is no allocation '{self.ranks}'; use global or uniform.")
        effort_named(self.effort)
        if self.labels not in get_args(Labels):
            raise InputError(f"--labels is drawn or given, not '{self.labels}'.")
        if self.labels == "given" and (self.draws or 1) > 1:
            raise InputError("Labels that are given are not drawn: leave --draws out.")
        if self.draws is not None:
            at_least("--draws", self.draws, 1)
        if self.max_time is not None and not self.max_time > 0:
            raise InputError("--max-time must be above 0 seconds.")
