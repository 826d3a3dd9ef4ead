"""The whitened singular value decomposition: the one closed form behind every weighting.

A target computes y = x W. With A = E[x xᵀ] and G = E[g gᵀ] (g the gradient of the loss at y), a
change of the weight costs ½ ‖A^½ ΔW G^½‖²_F to second order, under the Kronecker approximation of
the Fisher information (Martens and Grosse, "Optimizing neural networks with Kronecker-factored
approximate curvature", 2015). The best matrix of rank r is therefore the truncated SVD of
S = A^½ W G^½ mapped back (Eckart and Young, 1936), and it costs half of the discarded σ².

Only the narrow side is ever needed. Where N ≤ K, with G = L Lᵀ, the right singular vectors V are
the eigenvectors of Lᵀ (Wᵀ A W) L, and Wᵀ A W is just the second moment of y. Where K < N, with
A = L Lᵀ, the left singular vectors are those of Lᵀ (W G Wᵀ) L, and W G Wᵀ is just the second
moment of W g. Neither the wide metric nor S is ever formed, and only the narrow metric is inverted.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from ..arrays import Array
from ..runtime.paging import keep
from .eigen import descending, solve_transposed

__all__ = ["Spectrum", "damped", "decompose", "decompose_whitened"]


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The decomposition of a weight, group by group, from the largest singular value down.

    With m the smaller of K and N: a signal s on the narrow side (x, or y = x W) is kept to rank r
    as `s @ basis[:, :, :r] @ dual[:, :r]` if that is the output side; on the input side x is kept
    as `x @ dual[:, :r].T @ basis[:, :, :r].T`.

    Attributes:
        weight: Shape (groups, K, N).
        side: Where the directions live.
        squares: σ², summed over groups, shape (m,). All groups get the same rank, so their
            singular values of one index are taken together.
        basis: Shape (groups, m, m).
        dual: Shape (groups, m, m), the inverse of `basis`.
    """

    weight: Array
    side: Literal["input", "output"]
    squares: Array
    basis: Array
    dual: Array

    @property
    def energy(self) -> float:
        """Sum of σ²."""
        return float(self.squares.sum())

    def discarded(self, rank: int) -> float:
        """Sum of σ² beyond a rank, half of which is the predicted loss."""
        return float(self.squares[rank:].sum())

    def truncated(self, rank: int) -> tuple[Array, Array]:
        """The factors down to a rank and up from it: shapes (groups, K, rank), (groups, rank, N).

        Each component has the same norm in both, which keeps them inside the range of float16.
        """
        basis, dual = self.basis[:, :, :rank], self.dual[:, :rank]
        if self.side == "output":
            down, up = self.weight @ basis, dual
        else:
            down, up = dual.transpose(0, 2, 1), basis.transpose(0, 2, 1) @ self.weight
        left = np.linalg.norm(down, axis=1)
        right = np.linalg.norm(up, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.sqrt(right / left)
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        return down * scale[:, None, :], up / scale[:, :, None]


def decompose(
    weight: Array, A: Array | None = None, G: Array | None = None, damping: float = 1e-4
) -> Spectrum:
    """Decomposes a weight in the metric of two given matrices.

    Args:
        weight: Shape (groups, K, N).
        A: Positive semi-definite, shape (groups, K, K), or its diagonal, shape (groups, K); None
            for the identity.
        G: Positive semi-definite, shape (groups, N, N); None for the identity.
        damping: Share of its mean diagonal that is added to each metric.

    Returns:
        The full spectrum.
    """
    if A is not None:
        A = np.stack([damped(np.diag(a) if a.ndim == 1 else a, damping) for a in A])
    G = None if G is None else np.stack([damped(group, damping) for group in G])
    transposed = weight.transpose(0, 2, 1)
    if weight.shape[2] <= weight.shape[1]:
        return decompose_whitened(
            "output", weight, transposed @ (weight if A is None else A @ weight), G
        )
    return decompose_whitened(
        "input", weight, weight @ (transposed if G is None else G @ transposed), A
    )


def damped(moment: Array, damping: float, by: Array | None = None) -> Array:
    """A moment plus `damping` times a matrix of the same trace: `by`, or the identity.

    What remains is positive definite, however few rows it was made of, unless it is zero: then
    the matrix itself stands in, because no direction is better than another.
    """
    by = np.eye(moment.shape[-1], dtype=moment.dtype) if by is None else by
    energy, unit = float(np.trace(moment)), float(np.trace(by))
    if not energy > 0 or not unit > 0:
        return by
    result: Array = moment + (damping * energy / unit) * by
    return result


def decompose_whitened(
    side: Literal["input", "output"], weight: Array, gram: Array, metric: Array | None
) -> Spectrum:
    """Decomposes group by group, given both metrics on the narrow side.

    Args:
        side: Which side is the narrow one.
        weight: Shape (groups, K, N).
        gram: Wᵀ A W on the output side, W G Wᵀ on the input side, group by group.
        metric: G on the output side, A on the input side; None for the identity.
    """
    parts = [
        _decompose_one(gram[index], None if metric is None else metric[index])
        for index in range(weight.shape[0])
    ]
    squares, bases, duals = zip(*parts, strict=True)
    basis, dual = keep(np.stack(bases)), keep(np.stack(duals))
    return Spectrum(keep(weight), side, np.sum(squares, axis=0), basis, dual)


def _decompose_one(gram: Array, metric: Array | None) -> tuple[Array, Array, Array]:
    """Decomposes in the whitened coordinates of the narrow side.

    Args:
        gram: Wᵀ A W on the output side, W G Wᵀ on the input side.
        metric: G on the output side, A on the input side; None for the identity.

    Returns:
        σ², basis = L V and dual = Vᵀ L⁻¹, with L the Cholesky factor of `metric` and V the
        eigenvectors of Lᵀ gram L.
    """
    lower: Any = None if metric is None else np.linalg.cholesky(metric)
    inner = gram if lower is None else lower.T @ gram @ lower
    squares, vectors = descending(inner)
    if lower is None:
        return squares, vectors, vectors.T
    return squares, lower @ vectors, solve_transposed(lower, vectors).T
