"""Identity blocks: a form of two factors without the r² numbers that an identity stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from ...passes import Factors, Target
from ...passes.identity_blocks import BLOCK
from .form import Directions, Form, Ranks

__all__ = ["IdentityBlock"]


@dataclasses.dataclass(frozen=True)
class IdentityBlock(Form):
    """Two factors that are written with an identity in one of them (see `WriteIdentityBlocks`).

    It has no name of its own: whatever the form of an operator is, its factors may be written so.
    Until they are, they are what the form gives. r (K + N - r) numbers stay of r (K + N), so that
    every rank below the full one is smaller than the dense operator.

    Attributes:
        form: The form.
        nodes: Operators that it has more than the dense one, where the window is at an end.
        block_type: The type that it must be exact in, if that is not the weight's.
    """

    form: Form
    nodes: int = 3
    identity: bool = True
    block_type: str | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """That of the form."""
        return self.form.name

    def cuts(self, target: Target) -> tuple[str, ...] | None:
        """Those of the form."""
        return self.form.cuts(target)

    def title(self, target: Target) -> str:
        """That of the form, and how it is written."""
        return self.form.title(target) + BLOCK

    def params(self, unfoldings: Sequence[Target], ranks: Ranks) -> npt.NDArray[np.int64]:
        """The numbers that are left."""
        rank = np.asarray(ranks[0], np.int64)
        return self.form.params(unfoldings, ranks) - rank**2

    def macs(self, unfoldings: Sequence[Target], ranks: Ranks, macs: int) -> Array:
        """As many as there are weights, at every place of the factor that holds the identity."""
        (unfolding, *_), rank = unfoldings, np.asarray(ranks[0], np.float64)
        # That of few rows may stand before a stride, and then there are more places.
        places = macs / unfolding.params * unfolding.unfolding.stretch
        return self.form.macs(unfoldings, ranks, macs) - places * rank**2

    def factors(self, own: Factors, spectra: Sequence[Directions], ranks: Sequence[int]) -> Factors:
        """Those of the form: the block is written of them."""
        plain = self.form.factors(own, spectra, ranks)
        return dataclasses.replace(plain, identity=True, block_type=self.block_type)

    def note(self, unfoldings: Sequence[Target], ranks: Sequence[int]) -> str | None:
        """That of the form."""
        return self.form.note(unfoldings, ranks)
