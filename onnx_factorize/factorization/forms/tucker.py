"""Tucker-2: the input and the output channels of a convolution, cut both at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from ...passes import OWN, Factors, Rewrite, Target
from .form import Directions, Ranks, Written
from .registry import register

__all__ = ["Tucker"]


@dataclasses.dataclass(frozen=True)
class Tucker(Written):
    """A pointwise Conv, the same Conv between few channels, and a pointwise Conv.

    It cuts the own unfolding of a convolution, and that of its input channels: its loss is about
    the sum of theirs, for the two changes are orthogonal in the whitened coordinates of the input.
    Strides, dilations and padding stay in the middle; the last carries the bias.
    """

    name: str = "tucker"
    nodes: int = 2

    def cuts(self, target: Target) -> tuple[str, ...]:
        """The own unfolding, and that of the input channels."""
        return (OWN, "input")

    def title(self, target: Target) -> str:
        """Its name in the literature."""
        return "Tucker-2"

    def params(self, unfoldings: Sequence[Target], ranks: Ranks) -> npt.NDArray[np.int64]:
        """C_in to the one rank, a kernel from that to the other, that to C_out."""
        first, middle, last = self._parts(unfoldings, ranks)
        return np.asarray(unfoldings[0].groups * (first + middle + last))

    def macs(self, unfoldings: Sequence[Target], ranks: Ranks, macs: int) -> Array:
        """The first map has as many places as the input."""
        own, inner = unfoldings
        first, middle, last = self._parts(unfoldings, ranks)
        places = macs / own.params
        return np.asarray(places * own.groups * (inner.unfolding.stretch * first + middle + last))

    @staticmethod
    def _parts(unfoldings: Sequence[Target], ranks: Ranks) -> tuple[npt.NDArray[np.int64], ...]:
        own, inner = unfoldings
        rank, rank_in = (np.asarray(each) for each in ranks)
        middle = rank_in * rank * (own.rows // inner.rows)
        return inner.rows * rank_in, middle, rank * own.columns

    def latency(self, unfoldings: Sequence[Target], curves: Sequence[Any], ranks: Ranks) -> Array:
        """The latency of its 1 x 1 convolutions as two forms measured it, and a dense share."""
        (target, inner), (own, other), (rank, rank_in) = unfoldings, curves, map(np.asarray, ranks)
        # Each form holds a convolution of the kernel that is narrow on one side; here both are.
        share_in, share = rank_in / inner.rows, rank / target.columns
        twice = own.dense * (share_in + share - share_in * share)
        return np.asarray(own.at(rank) + other.at(rank_in) - (other.dense - own.dense) - twice)

    def note(self, unfoldings: Sequence[Target], ranks: Sequence[int]) -> str:
        """The rank of the input channels."""
        return f"input rank {ranks[1]} of {unfoldings[1].full_rank}"

    def factors(self, own: Factors, spectra: Sequence[Directions], ranks: Sequence[int]) -> Factors:
        """Factors of the own unfolding, their input channels cut as well."""
        (outer, inner), rank = spectra, ranks[1]
        # Where x is observed it is kept as x @ dualᵀ @ basisᵀ: the second goes into the core.
        down = inner.dual[:, :rank].transpose(0, 2, 1)
        groups, channels, _ = down.shape
        kernels = own.down.reshape(groups, channels, -1, own.rank)
        core = np.einsum("gcr,gcko->grko", inner.basis[:, :, :rank], kernels, optimize=True)
        # As in `Spectrum.truncated`, both have the same norm, component by component.
        left = np.linalg.norm(down, axis=1)
        right = np.linalg.norm(core, axis=(2, 3))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.sqrt(right / left)
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        inverse = None
        if outer.side == "output":
            kept = outer.dual[:, : own.rank]
            balance = np.linalg.norm(kept, axis=2) / np.linalg.norm(own.up, axis=2)
            inverse = outer.basis[:, :, : own.rank] * balance[:, None, :]
        return dataclasses.replace(
            own,
            down=down * scale[:, None, :],
            core=core / scale[:, :, None, None],
            inverse=inverse,
            chain=self,
        )

    def write(self, operator: Rewrite, target: Target, factors: Factors) -> None:
        """Writes three convolutions."""
        assert factors.core is not None
        groups, inner, elements, outer = factors.core.shape
        narrow = operator.channels(target, target.x, factors.down, "down")
        core = factors.core.reshape(groups, inner * elements, outer)
        few = operator.kernel(target, narrow, core, "core")
        operator.finish(target, few, factors.up, factors.bias_shift)


register(Tucker())
