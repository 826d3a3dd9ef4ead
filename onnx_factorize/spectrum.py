"""The whitened singular value decomposition: the one closed form behind every weighting.

A target computes y = x W. With A = E[x xᵀ] and G = E[g gᵀ] (g the gradient of the loss at y), a
change of the weight costs ½ ‖A^½ ΔW G^½‖²_F to second order, under the Kronecker approximation of
the Fisher information (Martens and Grosse, "Optimizing neural networks with Kronecker-factored
approximate curvature", 2015). The best matrix of rank r is therefore the truncated SVD of
S = A^½ W G^½ mapped back (Eckart and Young, 1936), and it costs half of the discarded σ².
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

__all__ = ["Spectrum", "damped", "decompose"]

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The decomposition of a weight, group by group, from the largest singular value down.

    Attributes:
        squares: σ², summed over groups, shape (full rank,). All groups get the same rank, so
            their singular values of one index are bought together.
        energy: Sum of σ².
        first: Shape (groups, K, full rank).
        second: Shape (groups, full rank, N); `first @ second` is the weight, and the leading r
            columns and rows are its best approximation of rank r.
    """

    squares: Array
    energy: float
    first: Array
    second: Array

    def discarded(self, rank: int) -> float:
        """Sum of σ² beyond a rank, half of which is the predicted loss."""
        return float(self.squares[rank:].sum())

    def truncated(self, rank: int) -> tuple[Array, Array]:
        """Factors of one rank: shapes (groups, K, rank) and (groups, rank, N)."""
        return self.first[:, :, :rank], self.second[:, :rank]


def damped(moment: Array, damping: float) -> Array:
    """A moment matrix plus `damping` times its mean diagonal.

    What remains is positive definite, however few rows it was made of, unless it is zero: then
    the identity stands in, because no direction is better than another.
    """
    size = moment.shape[-1]
    scale = float(np.trace(moment)) / size
    if not scale > 0:
        return np.eye(size)
    result: Array = moment + (damping * scale) * np.eye(size)
    return result


def decompose(
    weight: Array, A: Array | None = None, G: Array | None = None, damping: float = 1e-4
) -> Spectrum:
    """Decomposes a weight in whitened coordinates.

    The eigenvectors of the smaller Gram matrix of S give the subspace; S itself is never formed,
    and of the two metrics only that of the smaller side is inverted. Factors are balanced: in
    each component both have the same norm, which keeps them inside the range of float16.

    Args:
        weight: Shape (groups, K, N).
        A: Positive semi-definite, shape (groups, K, K); None for the identity.
        G: Positive semi-definite, shape (groups, N, N); None for the identity.
        damping: Share of its mean diagonal that is added to each metric.

    Returns:
        The full spectrum.
    """
    parts = [
        _decompose_one(
            weight[index],
            None if A is None else damped(A[index], damping),
            None if G is None else damped(G[index], damping),
        )
        for index in range(weight.shape[0])
    ]
    squares = np.sum([part[0] for part in parts], axis=0)
    return Spectrum(
        squares,
        float(squares.sum()),
        np.stack([part[1] for part in parts]),
        np.stack([part[2] for part in parts]),
    )


def _decompose_one(weight: Array, A: Array | None, G: Array | None) -> tuple[Array, Array, Array]:
    rows, columns = weight.shape
    if columns <= rows:
        squares, first, second = _by_columns(weight, A, G)
    else:
        squares, second, first = _by_columns(weight.T, G, A)
        first, second = first.T, second.T
    return squares, *_balanced(first, second)


def _by_columns(weight: Array, A: Array | None, G: Array | None) -> tuple[Array, Array, Array]:
    """Decomposes a weight of at least as many rows as columns.

    With G = L Lᵀ and V the eigenvectors of Lᵀ Wᵀ A W L, the factors are W L V and Vᵀ L⁻¹.
    """
    right = weight if G is None else weight @ (lower := np.linalg.cholesky(G))
    gram = right.T @ right if A is None else right.T @ A @ right
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    vectors = vectors[:, ::-1]
    first = right @ vectors
    second = vectors.T if G is None else np.linalg.solve(lower.T, vectors).T
    return np.maximum(values[::-1], 0), first, second


def _balanced(first: Array, second: Array) -> tuple[Array, Array]:
    """Scales each component so that both of its vectors have the same norm."""
    left = np.linalg.norm(first, axis=0)
    right = np.linalg.norm(second, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(right / left)
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    return first * scale, second / scale[:, None]
