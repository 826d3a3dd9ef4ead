"""The signal before the factor up of a cut, so that it can be fitted by linear regression.

In an operator's own unfolding that is z = x @ down, place by place. In a further unfolding of a
convolution the factor up is a convolution of k elements: it multiplies the z of each of them, so
that a row has rank · k numbers, of which the factor down makes each from the input channels (or
columns) of one element. In Tucker-2 the core and the last factor are one such convolution, of a
rank of its own: what is fitted as a whole is split again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..passes import Factors, Target

__all__ = ["fitted", "narrowed", "up_matrices"]


# Pull of the last factor towards the old one, as that of `regression` is.
_STRENGTH = 0.1


def narrowed(
    target: Target, factors: Factors, rows: npt.NDArray[Any], group: int
) -> npt.NDArray[Any]:
    """The rows that the factor up multiplies.

    Args:
        target: The unfolding that is cut.
        factors: Its factors.
        rows: Rows of x in the operator's own unfolding, shape (rows, K).
        group: The group.

    Returns:
        Shape (rows, rank * elements).
    """
    down = factors.down[group].astype(rows.dtype)
    apart = rows.reshape(len(rows), -1, _elements(target, factors)).transpose(0, 2, 1)
    return np.asarray((apart @ down).transpose(0, 2, 1).reshape(len(rows), -1))


def up_matrices(target: Target, factors: Factors) -> Array:
    """The factor up as matrices of such rows, shape (groups, rank * elements, N)."""
    if factors.core is not None:
        core = factors.core.reshape(target.groups, -1, factors.rank)
        return np.asarray(core @ factors.up)
    apart = factors.up.reshape(target.groups, factors.rank, -1, _elements(target, factors))
    moved = apart.transpose(0, 1, 3, 2)
    return np.asarray(moved.reshape(target.groups, -1, moved.shape[3]))


def fitted(factors: Factors, matrices: Array, moments: Array) -> Factors:
    """The factors with another factor up.

    Args:
        factors: The factors.
        matrices: What `up_matrices` gives of the new ones, but of any rank.
        moments: Second moment of the rows before them, shape (groups, rank * elements, same).
    """
    groups, _, columns = matrices.shape
    if factors.core is None:
        apart = matrices.reshape(groups, factors.rank, -1, columns).transpose(0, 1, 3, 2)
        return dataclasses.replace(factors, up=apart.reshape(factors.up.shape))
    core = factors.core.reshape(groups, -1, factors.rank)
    if factors.inverse is not None:
        # Of what is fitted, the part that the old last factor keeps, in the output's metric.
        core = matrices @ factors.inverse
    # The last factor that makes the most of that: least squares, with the pull of `regression`.
    energy = core.transpose(0, 2, 1) @ moments @ core
    diagonal = np.diagonal(energy, axis1=1, axis2=2)
    least = 1e-9 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-30)
    pull = (_STRENGTH * np.maximum(diagonal, least))[:, :, None]
    right = core.transpose(0, 2, 1) @ moments @ matrices + pull * factors.up
    last = np.linalg.solve(energy + pull * np.eye(factors.rank), right)
    return dataclasses.replace(factors, up=last, core=core.reshape(factors.core.shape))


def _elements(target: Target, factors: Factors) -> int:
    """Elements of the kernel of the factor up."""
    return int(target.layer.own.rows // factors.down.shape[1])
