"""Two factors of one unfolding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from ...passes import OWN, Target, title_of
from .form import Form, Ranks
from .identity_block import IdentityBlock
from .registry import register

__all__ = ["Pair"]


@dataclasses.dataclass(frozen=True)
class Pair(Form):
    """`x @ down @ up`, in one unfolding: operators know how to be two of their kind.

    Attributes:
        name: What `--form` calls it.
        unfolding: The name of the unfolding.
    """

    name: str
    unfolding: str = OWN

    def written(self, target: Target) -> Form:
        """Two factors, or an identity block of them."""
        return IdentityBlock(self, block_type=target.block_type) if target.identity else self

    def cuts(self, target: Target) -> tuple[str, ...]:
        """The one unfolding."""
        return (self.unfolding,)

    def title(self, target: Target) -> str:
        """As the unfolding says; the operator, in its own."""
        return title_of(target)

    def params(self, unfoldings: Sequence[Target], ranks: Ranks) -> npt.NDArray[np.int64]:
        """Those of both factors."""
        return np.asarray(ranks[0], np.int64) * unfoldings[0].factor_params(1)

    def macs(self, unfoldings: Sequence[Target], ranks: Ranks, macs: int) -> Array:
        """As many as there are weights, at every place."""
        return unfoldings[0].factor_macs(ranks[0], macs)


for _form in (Pair("channel"), Pair("input", "input"), Pair("spatial", "spatial")):
    register(_form)
