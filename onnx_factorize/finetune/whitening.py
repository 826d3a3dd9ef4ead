"""Whitened coordinates of a weight that moves: S = A^½ W G^½, on the narrow side only.

As in `factorization.spectrum`, neither S nor a root of the wide metric is formed. Where N ≤ K (the
output side), with G = L Lᵀ, the right singular vectors V of S are the eigenvectors of
Lᵀ (Wᵀ A W) L. Giving S other singular values, each its old one times an element of D, is
W ← W · L V D Vᵀ L⁻¹; on the input side, with A = L Lᵀ, it is W ← L⁻ᵀ V D Vᵀ Lᵀ · W.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Decomposition", "Whitening"]

_ROUNDING = 1e-14


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """A weight in whitened coordinates, group by group, from the largest singular value down.

    Attributes:
        weight: Shape (groups, K, N), float64.
        side: Where the directions live.
        sigma: Singular values of S, shape (groups, m), with m the width of that side.
        lift: L V, shape (groups, m, m).
        drop: Vᵀ L⁻¹, the inverse of `lift`.
    """

    weight: Tensor
    side: Literal["input", "output"]
    sigma: Tensor
    lift: Tensor
    drop: Tensor

    def replaced(self, sigma: Tensor) -> Tensor:
        """The weight with other singular values, shape (groups, K, N)."""
        share = torch.where(self.sigma > 0, sigma / self.sigma, 0)
        if self.side == "output":
            return self.weight @ (self.lift * share[:, None, :]) @ self.drop
        return (self.drop.mT * share[:, None, :]) @ (self.lift.mT @ self.weight)

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Factors of the weight cut to a rank, balanced: (groups, K, rank), (groups, rank, N).

        The columns of the first and the rows of the second are orthogonal, and each pair has the
        same norm: gradient steps then move both alike.
        """
        if self.side == "output":
            first, second = self.weight @ self.lift[:, :, :rank], self.drop[:, :rank]
        else:
            first, second = self.drop[:, :rank].mT, self.lift[:, :, :rank].mT @ self.weight
        q1, r1 = torch.linalg.qr(first)
        q2, r2 = torch.linalg.qr(second.mT)
        u, sigma, vt = torch.linalg.svd(r1 @ r2.mT)
        root = sigma.sqrt()
        return (q1 @ u) * root[:, None, :], (vt @ q2.mT) * root[:, :, None]


class Whitening:
    """The metric ‖A^½ ΔW G^½‖ of a target, for weights that change.

    Args:
        side: The narrow side: `output` where N ≤ K.
        narrow: The metric there: G on the output side, A on the input side; shape (groups, m, m),
            positive definite. None for the identity.
        wide: The metric on the other side, shape (groups, wide, wide), positive semi-definite.
            None for the identity, unless moments are observed.
        decay: How much of the old moment `observe` keeps.
    """

    def __init__(
        self,
        side: Literal["input", "output"],
        narrow: Tensor | None = None,
        wide: Tensor | None = None,
        decay: float = 0.95,
    ) -> None:
        self.side = side
        self.wide = None if wide is None else wide.double()
        self.lower = None if narrow is None else torch.linalg.cholesky(narrow.double())
        self.decay = decay
        self.moment: Tensor | None = None
        self._wide_lower: Tensor | None = None

    @classmethod
    def of(cls, A: Tensor | None, G: Tensor | None, shape: torch.Size) -> Whitening:
        """The metric of given matrices.

        Args:
            A: Shape (groups, K, K); None for the identity.
            G: Shape (groups, N, N); None for the identity.
            shape: Of the weight: (groups, K, N).
        """
        if shape[2] <= shape[1]:
            return cls("output", G, A)
        return cls("input", A, G)

    def observe(self, rows: Tensor) -> None:
        """Learns the wide side from what the target computes, instead of from its metric.

        Args:
            rows: What the *current* weight gives for a batch, shape (groups, rows, m): y = x W on
                the output side, W g on the input side. Wᵀ A W is just the second moment of y. The
                moment is an exponential mean, and lags behind a weight that moves.
        """
        rows = rows.detach().double()
        new = rows.mT @ rows / rows.shape[1]
        old = self.moment
        self.moment = new if old is None else self.decay * old + (1 - self.decay) * new

    def decompose(self, weight: Tensor) -> Decomposition:
        """Decomposes a weight.

        Args:
            weight: Shape (groups, K, N).
        """
        weight = weight.detach().double()
        inner = self._gram(weight)
        if self.lower is not None:
            inner = self.lower.mT @ inner @ self.lower
        values, vectors = torch.linalg.eigh((inner + inner.mT) / 2)
        # Squares of singular values: below this share of the largest they are rounding errors.
        values = torch.where(values > _ROUNDING * values[:, -1:], values, 0)
        sigma, vectors = values.flip(-1).sqrt(), vectors.flip(-1)
        if self.lower is None:
            return Decomposition(weight, self.side, sigma, vectors, vectors.mT)
        drop = torch.linalg.solve_triangular(self.lower.mT, vectors, upper=True).mT
        return Decomposition(weight, self.side, sigma, self.lower @ vectors, drop)

    def preconditioned(self, gradient: Tensor) -> Tensor:
        """A⁻¹ ∇W G⁻¹: the gradient in whitened coordinates, mapped back to W.

        Args:
            gradient: Shape (groups, K, N).
        """
        result = gradient.double() if self.side == "output" else gradient.double().mT
        if self.wide is not None:
            if self._wide_lower is None:
                self._wide_lower = torch.linalg.cholesky(self.wide)
            result = torch.cholesky_solve(result, self._wide_lower)
        if self.lower is not None:
            result = torch.cholesky_solve(result.mT, self.lower).mT
        return result if self.side == "output" else result.mT

    def _gram(self, weight: Tensor) -> Tensor:
        """Wᵀ A W on the output side, W G Wᵀ on the input side."""
        if self.moment is not None:
            return self.moment
        across = weight if self.side == "output" else weight.mT
        return across.mT @ (across if self.wide is None else self.wide @ across)
