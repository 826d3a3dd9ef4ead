"""A weight together with the moments observed on its narrow side, and what stands in for more data.

Moments of few samples say nothing of most directions. They are therefore shrunk: G towards "all
directions alike", and A either towards that or towards the directions that the weight itself
reads. A trained network's features come to lie along the weights that read them, those of a
classifier above all (Papyan, Han and Donoho, "Prevalence of neural collapse during the terminal
phase of deep learning training", 2020): the columns of W are samples of x that cost no data.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from .spectrum import Spectrum, damped, decompose_whitened

__all__ = ["KroneckerFactors", "Prior"]


# What A is shrunk to: the identity, or the second moment of the columns that the weight reads.
Prior = Literal["identity", "weight"]

# Keeps the metric invertible where the columns leave directions out.
_LEAST = 1e-4


@dataclasses.dataclass(frozen=True)
class KroneckerFactors:
    """A weight and its moments on the narrow side.

    Attributes:
        weight: Shape (groups, K, N).
        side: Which side was observed.
        signal: Moment of x, shape (groups, K, K), or of y = x W, shape (groups, N, N).
        gradient: Moment of W g or of g, of the same shape; None where there is none.
    """

    weight: Array
    side: Literal["input", "output"]
    signal: Array
    gradient: Array | None = None

    def astype(self, dtype: npt.DTypeLike) -> KroneckerFactors:
        """The same in another precision, for decompositions that need not be exact."""
        arrays: list[Any] = [
            None if a is None else a.astype(dtype)
            for a in (self.weight, self.signal, self.gradient)
        ]
        return KroneckerFactors(arrays[0], self.side, arrays[1], arrays[2])

    def decompose(
        self,
        on_signal: float = 1e-4,
        on_gradient: float | None = 1e-4,
        prior: Prior = "identity",
    ) -> Spectrum:
        """Decomposes the weight in the metric of the shrunk moments.

        Args:
            on_signal: Share of the mean energy of a direction that is added to A.
            on_gradient: Likewise to G; None for no G at all.
            prior: What is added to A.
        """
        gradient = None if on_gradient is None else self.gradient
        known = self._identity if prior == "identity" else self._columns
        if self.side == "output":
            metric = None
            if gradient is not None and on_gradient is not None:
                metric = np.stack([damped(g, on_gradient) for g in gradient])
            gram = _shrunk(self.signal, on_signal, known)
            return decompose_whitened(self.side, self.weight, gram, metric)
        metric = _shrunk(self.signal, on_signal, known)
        if prior != "identity":
            metric = np.stack([damped(each, _LEAST) for each in metric])
        gram = self._gram
        if gradient is not None and on_gradient is not None:
            gram = _shrunk(gradient, on_gradient, gram)
        return decompose_whitened(self.side, self.weight, gram, metric)

    @functools.cached_property
    def _gram(self) -> Array:
        """Wᵀ W or W Wᵀ, on the narrow side."""
        transposed = self.weight.transpose(0, 2, 1)
        if self.side == "output":
            return np.asarray(transposed @ self.weight)
        return np.asarray(self.weight @ transposed)

    @functools.cached_property
    def _identity(self) -> Array:
        """A = I, on the narrow side."""
        if self.side == "output":
            return self._gram
        groups, width, _ = self.signal.shape
        return np.broadcast_to(np.eye(width, dtype=self.signal.dtype), (groups, width, width))

    @functools.cached_property
    def _columns(self) -> Array:
        """A on the narrow side if x lies along the weight's columns, each alike."""
        norms = np.linalg.norm(self.weight, axis=1, keepdims=True)
        columns = self.weight / np.maximum(norms, 1e-30)
        columns -= columns.mean(axis=2, keepdims=True)
        seen = columns
        if self.side == "output":
            # Of columns as samples of x, y = x W is seen: shape (groups, N, N).
            seen = self.weight.transpose(0, 2, 1) @ columns
        return np.asarray(seen @ seen.transpose(0, 2, 1))


def _shrunk(moments: Array, share: float, towards: Array) -> Array:
    return np.stack([damped(m, share, t) for m, t in zip(moments, towards, strict=True)])
