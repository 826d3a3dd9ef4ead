"""Ways to round the weights of a model, and the choice among them by what they lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import onnx_ir as ir

from ..graph import scopes
from ..passes import RotateFactors
from ..passes.factor_pairs import factor_pairs
from .operand_moments import OperandMoments

__all__ = [
    "FULL",
    "HALF",
    "MIXED",
    "PLAIN",
    "REDUCED",
    "ROTATED",
    "Rounding",
    "RoundingChoice",
    "has_pairs",
]


@dataclasses.dataclass(frozen=True)
class Rounding:
    """A way to round weights.

    Attributes:
        name: As reports call it.
        rotated: Whether pairs of factors get a basis first in which no number is large.
        reduced: Whether 7 of 8 bits are used, so that sums of two products fit in 16 bits, in which
            x86 processors without VNNI instructions take them.
        moments: What gathers the moments that numbers of 4 bits are fitted to; None to round each
            to the level that is nearest to it.
        kept: Operators that stay in float32 where all else becomes float16.
        better: What its divergence must be less than, as a share of that of the best before it.
    """

    name: str
    rotated: bool = True
    reduced: bool = False
    moments: OperandMoments | None = None
    kept: tuple[str, ...] = ()
    better: float = 1.0

    def prepared(self, model: ir.Model) -> ir.Model:
        """The model with the factors that are rounded; the given one is not changed."""
        if not self.rotated:
            return model
        turned = model.clone()
        RotateFactors()(turned)
        return turned

    def fitted(self, moments: OperandMoments) -> Rounding:
        """The same, fitted to what weights multiply."""
        return dataclasses.replace(self, name=f"{self.name}, GPTQ", moments=moments)


# In 4 bits.
ROTATED = Rounding("rotated factors")
PLAIN = Rounding("plain factors", rotated=False)

# In 8 bits. With all of them steps are half as long as with 7, and only sums that saturate lose
# more: then by far.
FULL = Rounding("8 bits")
REDUCED = Rounding("7 bits", reduced=True, better=0.9)


# In half precision all numbers have an exponent of their own, and nothing is gained by a rotation.
HALF = Rounding("float16", rotated=False)
# Their squares and sums leave the range of float16 first, and channels whose scale is next to
# nothing are lost in it. Each is a cast and another more.
MIXED = Rounding(
    "float16 but for normalizations",
    rotated=False,
    kept=(
        *(f"{kind}Normalization" for kind in ("Layer", "Group", "Instance", "Batch", "RMS", "Lp")),
        "SimplifiedLayerNormalization",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        *("Pow", "ReduceMean", "ReduceSumSquare", "ReduceL2", "Sqrt"),
    ),
    better=0.9,
)


def has_pairs(model: ir.Model) -> bool:
    """Tells whether a model has factors that could be rotated."""
    found: Iterator[object] = (
        pair
        for scope, _ in scopes(model.graph)
        for pair in factor_pairs(model, scope, embeddings=True)
    )
    return next(found, None) is not None


class RoundingChoice:
    """The best of some ways to round a model.

    Attributes:
        model: The model as the best way makes it.
        used: That way.
        tried: The name of each way to the divergence that it gave.
    """

    def __init__(
        self,
        make: Callable[[Rounding], ir.Model],
        loss: Callable[[ir.Model], float],
        first: Rounding,
    ) -> None:
        """Begins with one way.

        Args:
            make: Makes the rounded model.
            loss: Its divergence from the dense one.
            first: The way.
        """
        self._make, self._loss = make, loss
        self.model, self.used = make(first), first
        self.tried = {first.name: loss(self.model)}

    def offer(self, rounding: Rounding) -> None:
        """Takes another way if it loses less."""
        model = self._make(rounding)
        found = self.tried[rounding.name] = self._loss(model)
        if found < rounding.better * self.tried[self.used.name]:
            self.model, self.used = model, rounding

    @property
    def said(self) -> str:
        """The choice and its reason, as one line."""
        others = [f"{loss:.2g} with {name}" for name, loss in self.tried.items()]
        return f"weights are rounded with {self.used.name}: {', '.join(others)} (nats)"

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        return {"used": self.used.name, "tried": dict(self.tried), "said": self.said}
