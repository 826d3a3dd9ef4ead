"""Factors, which take the place of a weight, and the chain of operators made of them."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from .target import Target

__all__ = ["Chain", "Factors"]


class Chain(Protocol):
    """A small chain of linear maps, Split, Concat and Add in the place of one operator."""

    def title(self, target: Target) -> str:
        """The name of the form in reports, and in the metadata of what was rewritten."""

    def write(self, operator: Any, target: Target, factors: Factors) -> None:
        """Writes the chain: `operator`, a `Rewrite`, emits linear maps of the target's kind."""


@dataclasses.dataclass(frozen=True)
class Factors:
    """Two matrices a group whose product replaces the weight.

    Tucker-2 has a third between them, for each element of the kernel: then K is the number of
    input channels only.

    Attributes:
        down: To the rank, shape (groups, K, rank).
        up: From it, shape (groups, rank, N).
        core: Shape (groups, input rank, kernel elements, rank); `down` then has the input rank.
        inverse: Of `up` beside a core, in the metric of the output: shape (groups, N, rank);
            `up @ inverse` is the identity.
        operator: The name of the operator where factors are those of a further unfolding of it.
        chain: How they become operators; two linear maps of the target's own kind by default.
        identity: Whether those are then written as an identity block.
        block_type: The type that it must be exact in, if that is not the weight's.
        bias_shift: Shape (groups * N,): what the bias must add so that the mean of the output is
            kept; None where the target has no place for it.
    """

    down: Array
    up: Array
    bias_shift: Array | None = None
    core: Array | None = None
    inverse: Array | None = None
    operator: str | None = None
    chain: Chain | None = None
    identity: bool = False
    block_type: str | None = None

    @property
    def rank(self) -> int:
        """The rank of one group; that of the output where there are two."""
        return int(self.up.shape[1])

    def product(self, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """The matrices that they stand for, shape (groups, K, N), computed in a type."""
        down, up = self.down.astype(dtype), self.up.astype(dtype)
        if self.core is None:
            return np.asarray(down @ up)
        # K is the input channels and, within each, the elements of the kernel.
        groups, inner, elements, rank = self.core.shape
        middle = down @ self.core.astype(dtype).reshape(groups, inner, elements * rank)
        return np.asarray(middle.reshape(groups, -1, rank) @ up)

    @property
    def flipped(self) -> Factors:
        """The factors of the transpose."""
        return Factors(self.up.transpose(0, 2, 1), self.down.transpose(0, 2, 1))
