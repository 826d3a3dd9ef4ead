"""What stands before the second factor of a cut, so that it can be fitted by linear regression.

In an operator's own view that is z = x @ first, place by place. In a further view of a convolution
the second factor is a convolution of k elements: it multiplies the z of each of them, so that a row
has rank · k numbers, of which the first factor makes each from the input channels (or columns) of
one element.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .passes import Factors, Target

__all__ = ["fitted", "narrowed", "second_matrices"]

Array = npt.NDArray[np.float64]


def narrowed(
    target: Target, factors: Factors, rows: npt.NDArray[Any], group: int
) -> npt.NDArray[Any]:
    """What the second factor multiplies.

    Args:
        target: The view that is cut.
        factors: Its factors.
        rows: Rows of x in the operator's own view, shape (rows, K).
        group: The group.

    Returns:
        Shape (rows, rank * elements).
    """
    first = factors.narrow[group].astype(rows.dtype)
    elements = _elements(target)
    apart = rows.reshape(len(rows), -1, elements).transpose(0, 2, 1)
    return np.asarray((apart @ first).transpose(0, 2, 1).reshape(len(rows), -1))


def second_matrices(target: Target, factors: Factors) -> Array:
    """The second factor as matrices of such rows, shape (groups, rank * elements, N)."""
    apart = factors.second.reshape(target.groups, factors.rank, -1, _elements(target))
    moved = apart.transpose(0, 1, 3, 2)
    return np.asarray(moved.reshape(target.groups, -1, moved.shape[3]))


def fitted(factors: Factors, matrices: Array, shift: Array | None) -> Factors:
    """The factors with another second one, given as such matrices, and another bias."""
    groups, _, columns = matrices.shape
    apart = matrices.reshape(groups, factors.rank, -1, columns).transpose(0, 1, 3, 2)
    second = apart.reshape(factors.second.shape)
    return dataclasses.replace(factors, second=second, bias_shift=shift)


def _elements(target: Target) -> int:
    """Elements of the second factor's kernel."""
    return 1 if target.view_of is None else target.view_of.rows // target.rows
