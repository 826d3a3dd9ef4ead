"""Promises on quality: what must hold of the compressed model on data that nobody has seen.

The held-out samples are few, so that a figure that they only just keep is broken by half of all
new data. What must keep the promise is a confidence bound of the figure, not the figure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from ..errors import InputError
from ..outputs import OutputDistribution
from .confidence import Estimate, lower_bound, upper_bound
from .own_metric import OwnMetric
from .quantities import QUANTITIES, Divergence, Quantity

__all__ = ["Prefer", "Promise", "promised"]

Prefer = Literal["size", "latency"]


@dataclasses.dataclass(frozen=True)
class Promise:
    """A bound on a figure of the compressed model.

    Attributes:
        metric: `divergence`, `top1`, `agreement`, `cosine` or `module:callable`.
        asked: The largest divergence, in nats; or the least share of the metric that is left.
    """

    metric: str
    asked: float

    def __post_init__(self) -> None:
        if self.metric == "divergence":
            if not 0 < self.asked < math.inf:
                raise InputError("--max-divergence must be above zero.")
        elif not 0 < self.asked < 1:
            raise InputError(
                f"--keep {self.metric}={self.asked:g}: the share to keep is between 0 and 1, such "
                "as 0.99; no finite number of samples can promise all of it."
            )
        elif self.metric not in QUANTITIES and ":" not in self.metric:
            raise InputError(
                f"--keep {self.metric}: there is no such metric; use {', '.join(QUANTITIES)}, or "
                "module:callable for your own."
            )

    @classmethod
    def parse(cls, text: str) -> Promise:
        """Reads `METRIC=FRACTION`, such as `top1=0.99` or `agreement=98%`.

        Raises:
            InputError: The text is not of that form.
        """
        metric, equals, value = text.rpartition("=")
        number = value.strip()
        try:
            share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not equals or not metric or math.isnan(share):
            raise InputError(f"--keep '{text}' is not of the form METRIC=FRACTION, as top1=0.99.")
        return cls(metric.strip(), share)

    @property
    def option(self) -> str:
        """The option as it is written on the command line."""
        if self.metric == "divergence":
            return f"--max-divergence {self.asked:g}"
        return f"--keep {self.metric}={self.asked:g}"

    def quantity(self, outputs: Mapping[str, OutputDistribution]) -> Quantity:
        """What measures it."""
        if self.metric == "divergence":
            return Divergence(outputs)
        if self.metric in QUANTITIES:
            return QUANTITIES[self.metric](outputs)
        return OwnMetric(self.metric, outputs)

    def bound(self, estimate: Estimate) -> float:
        """The confidence bound on the side where the promise breaks."""
        bound = upper_bound if self.metric == "divergence" else lower_bound
        return bound(estimate.shares)

    def strain(self, bound: float) -> float:
        """How far the promise is stretched: the loss over the loss allowed; kept up to 1."""
        if self.metric == "divergence":
            return bound / self.asked
        return (1 - bound) / (1 - self.asked)


def promised(given: dict[str, Any]) -> Promise | None:
    """Takes `max_divergence` and `keep` out of some options.

    Raises:
        InputError: There are two promises, or one and a budget, or it is none.
    """
    divergence, share = given.pop("max_divergence", None), given.pop("keep", None)
    if divergence is None and share is None:
        return given.get("promise")
    if divergence is not None and share is not None:
        raise InputError("Give --max-divergence or --keep, not both: one promise leads the search.")
    if given.get("budget") is not None:
        raise InputError(
            "Give --budget or a promise (--max-divergence, --keep), not both: a promise looks for "
            "the budget."
        )
    return Promise("divergence", float(divergence)) if share is None else Promise.parse(share)
