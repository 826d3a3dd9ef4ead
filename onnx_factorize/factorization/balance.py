"""Balance factors, so that they can be trained.

Whitened factors differ in scale by a factor of a hundred from one component to the next, and an
optimizer that moves every weight by as much moves them all wrongly. Their product is the same with
U √Σ and √Σ Vᵀ of its singular value decomposition: then both are alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ..passes import Factors, Target

__all__ = ["balanced"]


def balanced(factors: Mapping[str, Factors], cut: Sequence[Target]) -> dict[str, Factors]:
    """The same products from factors of equal scale.

    Three factors, and those that several operators share, are left as they are.

    Args:
        factors: Unfolding name to factors.
        cut: What is cut.
    """
    shared = {use.name for unfolding in cut if unfolding.tied for use in unfolding.uses}
    return {
        name: each if name in shared or each.core is not None else _balanced(each)
        for name, each in factors.items()
    }


def _balanced(factors: Factors) -> Factors:
    left, left_core = np.linalg.qr(factors.down)
    right, right_core = np.linalg.qr(factors.up.transpose(0, 2, 1))
    u, singular, vt = np.linalg.svd(left_core @ right_core.transpose(0, 2, 1))
    root = np.sqrt(singular)
    return dataclasses.replace(
        factors,
        down=left @ u * root[:, None, :],
        up=root[:, :, None] * (vt @ right.transpose(0, 2, 1)),
    )
