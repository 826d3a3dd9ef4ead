"""Proximal maps of rank penalties, on singular values.

Each map answers: which z ≥ 0 minimises ½ (z - sigma)² + t p(z)? Its penalty p has one parameter,
the weight w of a target, chosen so that with a full step (t = 1) all of them keep the same
components, those with sigma > w. They differ in how much of what they keep they take away:

| map | penalty p(z) | what is left of sigma > w, at t = 1 |
|---|---|---|
| `soft` | w z (nuclear norm; Cai, Candès and Shen, 2010) | sigma - w |
| `reweighted` | w² log(1 + z / w) (Candès, Wakin and Boyd, 2008) | about sigma - w² / sigma |
| `hard` | ½ w² for z > 0 (rank) | sigma |

The map of a matrix is that of its singular values (von Neumann's trace inequality: the penalties
grow with sigma and depend on nothing else).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import check_known

__all__ = ["SHRINKAGES", "Shrinkage", "get_shrinkage"]


@dataclasses.dataclass(frozen=True)
class Shrinkage:
    """One proximal map.

    Attributes:
        name: What options call it.
        shrink: (sigma, w, t) to the minimiser, element by element. `reweighted` is a proximal map,
            and continuous, for t ≤ 1; beyond, the penalty is too concave.
    """

    name: str
    shrink: Callable[[Tensor, float, float], Tensor]


def _soft(sigma: Tensor, weight: float, step: float) -> Tensor:
    return (sigma - step * weight).clamp(min=0)


def _hard(sigma: Tensor, weight: float, step: float) -> Tensor:
    return torch.where(sigma > step**0.5 * weight, sigma, 0)


def _reweighted(sigma: Tensor, weight: float, step: float) -> Tensor:
    """The larger root of (z - sigma) (z + w) + t w² = 0, where it is positive."""
    if weight == 0:
        return sigma
    root = ((sigma + weight).square() - 4 * step * weight**2).clamp(min=0).sqrt()
    return torch.where(sigma > step * weight, (sigma - weight + root) / 2, 0)


SHRINKAGES = {
    shrinkage.name: shrinkage
    for shrinkage in (
        Shrinkage("soft", _soft),
        Shrinkage("reweighted", _reweighted),
        Shrinkage("hard", _hard),
    )
}


def get_shrinkage(name: str) -> Shrinkage:
    """The map of a name.

    Raises:
        InputError: There is none.
    """
    check_known(SHRINKAGES, name, "shrinkage")
    return SHRINKAGES[name]
