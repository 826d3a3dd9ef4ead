"""The losses of narrowing, measured on samples that did not choose the channels.

At a width, readers have other weights, and the loss changes for each sample by the sum over readers
and places of h ΔW · g: half of its mean square is the loss to second order, without the assumption
that places and their gradients are independent (see `losses`). It is measured at a few widths;
between them the shape is that of the Kronecker approximation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from ...passes import Target
from ...statistics.observation import Observation
from ..losses import LossSums
from .channel_cuts import ChannelCuts
from .narrowing import Narrowing

__all__ = ["Changes", "cross_moments", "losses_between"]

# From a reader and what is left out of its input to Σ h gᵀ of each sample.
_Cross = Callable[[str, npt.NDArray[np.float32]], Array | None]

# Widths at which losses are measured, as shares of all channels.
_SHARES = (0.9, 0.75, 0.6, 0.45, 0.3, 0.15)


@dataclasses.dataclass(frozen=True)
class Changes:
    """What becomes of the readers of some channels at a few widths.

    Attributes:
        weights: Reader to the change of its weight, shape (widths, K * N).
        means: Reader to what a bias absorbs of its input, shape (K,).
    """

    weights: Mapping[str, npt.NDArray[np.float32]]
    means: Mapping[str, npt.NDArray[np.float32]]

    @classmethod
    def of(cls, narrowing: Narrowing, cuts: ChannelCuts) -> Changes:
        """What some cuts make of the readers."""
        every = [cuts.changes(narrowing, width) for width in _widths(narrowing)]
        weights = {
            name: np.stack([found[name] for found in every], dtype=np.float32, casting="same_kind")
            for name in every[0]
        }
        means = {t.name: cuts.mean(t).astype(np.float32) for t in narrowing.readers}
        return cls({name: each.reshape(len(every), -1) for name, each in weights.items()}, means)

    def squares(self, cross: _Cross) -> Array | None:
        """The squared changes of the loss, shape (widths, samples); None where there are none.

        Rows must belong to single samples.

        Args:
            cross: From a reader and what is left out of its input to Σ h gᵀ of each sample, shape
                (samples, K * N).
        """
        total: Array | None = None
        for name, weights in self.weights.items():
            found = cross(name, self.means[name])
            if found is None or (total is not None and total.shape[1] != len(found)):
                return None
            own = weights @ found.T
            total = own if total is None else total + own
        return None if total is None else np.square(total, dtype=np.float64)


def cross_moments(
    seen: Observation, readers: Mapping[str, Target]
) -> Callable[[str, npt.NDArray[np.float32]], Array | None]:
    """From a reader and what is left out of its input to Σ h gᵀ of each sample of a batch."""

    def of(name: str, mean: npt.NDArray[np.float32]) -> Array | None:
        pair = seen.paired(readers[name])
        if pair is None:
            return None
        signal, gradient, scale = pair
        moved = (signal[0] - mean).transpose(0, 2, 1)
        return np.asarray(scale * (moved @ gradient[0]).reshape(len(moved), -1))

    return of


def _widths(narrowing: Narrowing) -> list[int]:
    return [max(1, int(share * narrowing.width)) for share in _SHARES]


def losses_between(narrowing: Narrowing, closed: Array, measured: LossSums | None) -> Array:
    """Losses at every width, not increasing, from those at a few."""
    if measured is None or not measured.samples:
        return closed
    widths = np.array(_widths(narrowing)[::-1])
    found = 0.5 * measured.total[::-1] / measured.samples
    tiny = 1e-12 * max(float(closed[0]), 1e-30)
    ratios = np.log(np.maximum(found, tiny) / np.maximum(closed[widths], tiny))
    factors = np.exp(np.interp(np.arange(len(closed)), widths, ratios))
    losses = np.append((factors * closed)[:-1], 0.0)
    return np.asarray(np.maximum.accumulate(losses[::-1])[::-1])
