"""Budgets: what the compressed model may cost."""

from __future__ import annotations

import dataclasses
import re

from ..errors import InputError

__all__ = ["Budget"]

_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}
_VALUE = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([kmg]i?)?(b|macs?|params?|ms)?%?", re.I)


@dataclasses.dataclass(frozen=True)
class Budget:
    """An upper bound on the cost of the compressed model.

    Attributes:
        kind: `params` (constants of the whole model), `targets` (weights of the factorizable
            operators only), `macs` (multiplications of the linear operators for one sample),
            `bytes` (the model's files), `latency` (milliseconds for one sample, measured here), or
            the name of another that is registered.
        value: A fraction of the dense model's figure if at most 1, else the figure itself.
    """

    kind: str = "params"
    value: float = 0.5

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise InputError(f"The budget {self.kind}={self.value:g} must be above zero.")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `KIND=VALUE`: `params=0.5`, `targets=75%`, `bytes=12MB`, `latency=5ms`.

        Raises:
            InputError: The text is not of that form.
        """
        kind, equals, value = text.partition("=")
        match = _VALUE.fullmatch(value.strip())
        if not kind.strip() or not equals or match is None:
            raise InputError(
                f"The budget '{text}' is not of the form KIND=VALUE, such as params=0.5 (half of "
                "the dense model) or bytes=12MB."
            )
        number = float(match[1]) * _PREFIX[(match[2] or "").lower()]
        if value.strip().endswith("%"):
            number /= 100
            if number > 1:
                raise InputError(f"The budget '{text}' is more than the whole dense model.")
        return cls(kind.strip(), number)

    def limit(self, dense: float) -> float:
        """The bound in units of the kind, for a dense model of the given cost."""
        return self.value * dense if self.value <= 1 else self.value

    def __str__(self) -> str:
        """The budget as it is written on the command line."""
        return f"{self.kind}={self.value:.15g}"
