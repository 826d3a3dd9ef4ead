"""Budgets: what the compressed model may cost."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal, get_args

from ..errors import InputError

__all__ = ["Budget", "BudgetKind"]

BudgetKind = Literal["params", "targets", "macs", "bytes", "latency"]

# No model has so few parameters, multiplications or bytes: a unit was forgotten.
_FEW = 100

_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}
_VALUE = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([kmg]i?)?(b|macs?|params?|ms)?%?", re.I)


@dataclasses.dataclass(frozen=True)
class Budget:
    """An upper bound on the cost of the compressed model.

    Attributes:
        kind: `params` (constants of the whole model), `targets` (weights of the factorizable
            operators only), `macs` (multiplications of the linear operators for one sample),
            `bytes` (the model's files) or `latency` (milliseconds for one sample, measured here).
        value: A fraction of the dense model's figure if at most 1, else the figure itself.
    """

    kind: BudgetKind = "params"
    value: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(BudgetKind):
            kinds = ", ".join(get_args(BudgetKind))
            raise InputError(f"There is no budget '{self.kind}'; use one of {kinds}.")
        if not self.value > 0:
            raise InputError(f"The budget {self.kind}={self.value:g} must be above zero.")
        if 1 < self.value < _FEW and self.kind != "latency":
            raise InputError(
                f"The budget {self.kind}={self.value:g} is neither a share of the dense model (up "
                "to 1) nor a size: give a unit, such as M."
            )

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `KIND=VALUE`: `params=0.5`, `targets=75%`, `bytes=12MB`, `latency=5ms`.

        Raises:
            InputError: The text is not of that form.
        """
        kind, equals, value = text.partition("=")
        match = _VALUE.fullmatch(value.strip())
        if not equals or match is None:
            raise InputError(
                f"The budget '{text}' is not of the form KIND=VALUE, such as params=0.5 (half of "
                "the dense model) or bytes=12MB."
            )
        number = float(match[1]) * _PREFIX[(match[2] or "").lower()]
        if value.strip().endswith("%"):
            number /= 100
            if number > 1:
                raise InputError(f"The budget '{text}' is more than the whole dense model.")
        return cls(kind.strip(), number)  # type: ignore[arg-type]

    def limit(self, dense: float) -> float:
        """The bound in units of the kind, for a dense model of the given cost."""
        return self.value * dense if self.value <= 1 else self.value

    def __str__(self) -> str:
        """The budget as it is written on the command line."""
        return f"{self.kind}={self.value:.15g}"
