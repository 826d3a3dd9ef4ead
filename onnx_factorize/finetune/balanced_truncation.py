"""Balanced truncation: the components of a bottleneck that matter, and the removal of others.

Where y = z U with z = x D, the whitened product S = A^½ D U G^½ has as squares of its singular
values the eigenvalues of P Q, with P = E[zᵀ z] = Dᵀ A D and Q = E[Σ gᵀ g] = U G Uᵀ for the gradient
g at z: two matrices of the width of the bottleneck, seen there, whatever the operators around it
are. In control theory they are the Gramians of reachability and observability, and the coordinates
in which both are diagonal and equal are the balanced realisation (Moore, 1981). To drop components
in it costs ½ Σ σ² of the loss, to second order.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

__all__ = ["Balanced", "balance"]

# Share of its mean diagonal that is added to P, which a component that is silent makes singular.
_DAMPING = 1e-9

_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class Balanced:
    """A bottleneck in balanced coordinates, group by group, from the largest component down.

    Attributes:
        sigma: Whitened singular values of the product, shape (groups, r).
        into: From z to balanced coordinates: z @ into, shape (groups, r, r).
        back: Its inverse.
    """

    sigma: Tensor
    into: Tensor
    back: Tensor

    def cut(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Maps to the first few components, and back, that give them other singular values.

        Args:
            sigma: What becomes of the first singular values, shape (groups, rank).

        Returns:
            Shapes (groups, r, rank) and (groups, rank, r).
        """
        rank = sigma.shape[1]
        old = self.sigma[:, :rank]
        root = torch.where(old > 0, sigma / old.clamp(min=_TINY), 1).sqrt()
        return self.into[:, :, :rank] * root[:, None, :], self.back[:, :rank] * root[:, :, None]


def balance(reached: Tensor, observed: Tensor) -> Balanced:
    """The balanced coordinates of a bottleneck.

    Args:
        reached: P, shape (groups, r, r), float64.
        observed: Q, likewise.
    """
    eye = torch.eye(reached.shape[-1], dtype=reached.dtype, device=reached.device)
    mean = reached.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    lower = torch.linalg.cholesky(reached + (_DAMPING * mean).clamp(min=_TINY) * eye)
    inner = lower.mT @ observed @ lower
    values, vectors = torch.linalg.eigh((inner + inner.mT) / 2)
    sigma, vectors = values.clamp(min=0).flip(-1).sqrt(), vectors.flip(-1)
    # Balanced up to the scale of each component, which whoever uses the factors chooses.
    into = torch.linalg.solve_triangular(lower.mT, vectors, upper=True)
    return Balanced(sigma, into, vectors.mT @ lower.mT)
