"""Guarantees on quality, as the user asks for them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..errors import InputError
from .fields import option

__all__ = ["Guarantee", "GuaranteeAsked", "guarantee_asked"]


@dataclasses.dataclass(frozen=True)
class GuaranteeAsked:
    """The options that ask for a guarantee, one of them at most.

    Attributes:
        max_divergence: The largest divergence on new data, in nats a prediction.
        keep: `METRIC=FRACTION`: the share of the dense model's metric that must be left.
    """

    max_divergence: float | None = option(
        None,
        "The smallest model that stays below D nats a prediction on new data (95 % sure).",
        metavar="D",
    )
    keep: str | None = option(
        None,
        "The smallest model that keeps this share of the dense model's {words}. top1 needs labels; "
        "a callable takes predictions and labels.",
        metavar="METRIC=FRACTION",
    )


class _Share:
    """A share of the dense model's metric that must be left: `--keep`."""

    def check(self, metric: str, asked: float) -> None:
        """Refuses what is no share.

        Raises:
            InputError: It is none.
        """
        if not 0 < asked < 1:
            raise InputError(
                f"--keep {metric}={asked:g}: the share to keep is between 0 and 1, such as 0.99; "
                "no finite number of samples can guarantee all of it."
            )

    def option(self, metric: str, asked: float) -> str:
        """The option as it is written on the command line."""
        return f"--keep {metric}={asked:g}"


class _MaxDivergence(_Share):
    """A bound on the divergence: `--max-divergence`."""

    def check(self, metric: str, asked: float) -> None:  # noqa: ARG002
        """Refuses what is no bound; see `_Share`."""
        if not 0 < asked < math.inf:
            raise InputError("--max-divergence must be above zero.")

    def option(self, metric: str, asked: float) -> str:  # noqa: ARG002
        """The option as it is written on the command line."""
        return f"--max-divergence {asked:g}"


_SHARE = _Share()

# Metrics that have an option of their own; `--keep` takes the others.
_OWN_OPTION: dict[str, _Share] = {"divergence": _MaxDivergence()}


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """A bound on a figure of the compressed model.

    Attributes:
        metric: `divergence`, `top1`, `agreement`, `cosine` or `module:callable`.
        asked: The largest divergence, in nats; or the least share of the metric that is left.
    """

    metric: str
    asked: float

    def __post_init__(self) -> None:
        self._kind.check(self.metric, self.asked)

    @property
    def _kind(self) -> _Share:
        return _OWN_OPTION.get(self.metric, _SHARE)

    @classmethod
    def parse(cls, text: str) -> Guarantee:
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
        return self._kind.option(self.metric, self.asked)


def guarantee_asked(given: dict[str, Any]) -> Guarantee | None:
    """Takes `max_divergence` and `keep` out of some options.

    Raises:
        InputError: There are two guarantees, or one and a budget, or it is none.
    """
    divergence, share = given.pop("max_divergence", None), given.pop("keep", None)
    if divergence is None and share is None:
        return given.get("promise")
    if divergence is not None and share is not None:
        raise InputError(
            "Give --max-divergence or --keep, not both: one guarantee leads the search."
        )
    if given.get("budget") is not None:
        raise InputError(
            "Give --budget or a guarantee (--max-divergence, --keep), not both: a guarantee "
            "looks for the budget."
        )
    return Guarantee("divergence", float(divergence)) if share is None else Guarantee.parse(share)
