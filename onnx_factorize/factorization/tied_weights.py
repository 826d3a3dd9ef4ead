"""The moments of several operators that read one weight, as moments of one.

Each costs ½ tr(C_u ΔᵀB_u Δ) for a change Δ on the narrow side, with B_u the moment in the role of
the signal and C_u that in the role of the gradient; one that multiplies by the transpose exchanges
the roles. The sum of the Kronecker products B_u ⊗ C_u is no Kronecker product: the nearest one
stands in (Van Loan and Pitsianis, "Approximation with Kronecker products", 1993), which of positive
semi-definite terms is one of nonnegative sums of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array
from ..passes import Target
from ..statistics.model_statistics import TargetStatistics
from .eigen import leading
from .kronecker_factors import KroneckerFactors

__all__ = ["nearest_kronecker", "tied_kronecker_factors"]


def tied_kronecker_factors(
    target: Target, statistics: TargetStatistics, *, gradient: bool = True
) -> KroneckerFactors:
    """A weight with the moments of all operators that read it, in the roles of the first."""
    weight = target.matrices()
    terms = []
    for use, found in zip(target.uses, (statistics, *statistics.tied), strict=True):
        signal = found.signal.second_moment
        if gradient and found.gradient is not None:
            behind = found.gradient.mean
        else:
            behind = _of_identity(use, weight)
        terms.append((behind, signal) if use.flipped else (signal, behind))
    groups = [
        nearest_kronecker([b[g] for b, _ in terms], [c[g] for _, c in terms])
        for g in range(target.groups)
    ]
    return KroneckerFactors(
        weight, target.side, np.stack([b for b, _ in groups]), np.stack([c for _, c in groups])
    )


def nearest_kronecker(left: Sequence[Array], right: Sequence[Array]) -> tuple[Array, Array]:
    """The matrices B and C whose Kronecker product is nearest to the sum of those given.

    With R = Σ vec(B_u) vec(C_u)ᵀ, whose best approximation of rank one they are: only the inner
    products of the terms are needed.

    Args:
        left: The B_u, of one shape.
        right: The C_u, of one shape.

    Returns:
        B and C, each the combination of its terms with nonnegative weights.
    """
    # Terms are scaled alike first: only products matter, and a gradient is tiny.
    scales = [np.sqrt(_norm(c) / max(_norm(b), 1e-300)) for b, c in zip(left, right, strict=True)]
    scales = [scale if scale > 0 else 1.0 for scale in scales]
    left = [b * scale for b, scale in zip(left, scales, strict=True)]
    right = [c / scale for c, scale in zip(right, scales, strict=True)]
    x = np.array([[np.vdot(a, b) for b in left] for a in left])
    y = np.array([[np.vdot(a, b) for b in right] for a in right])
    # R Rᵀ = X Y Xᵀ in the basis of the terms: its leading vector there is that of Y X.
    a = leading(y @ x)
    b = x @ a
    # B is known to a factor, which C = Rᵀ B / |B|² makes up for.
    size = float(a @ b)
    if not size > 0:
        return left[0], right[0]
    nearest = sum(w * term for w, term in zip(a, left, strict=True))
    return np.asarray(nearest), np.asarray(
        sum(w * term for w, term in zip(b / size, right, strict=True))
    )


def _of_identity(use: Target, weight: Array) -> Array:
    """The moment in place of the gradient's where all directions of y count alike."""
    if use.side == "output":
        return np.broadcast_to(np.eye(use.columns), (use.groups, use.columns, use.columns))
    own = weight.transpose(0, 2, 1) if use.flipped else weight
    return np.asarray(own @ own.transpose(0, 2, 1))


def _norm(matrix: Array) -> float:
    return float(np.linalg.norm(matrix))
