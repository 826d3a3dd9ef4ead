"""Eigendecompositions and triangular systems, in the orders that the mathematics here wants."""

from __future__ import annotations

import numpy as np

from ..arrays import Array

__all__ = ["descending", "leading", "solve_transposed"]

# Rows of a triangular system that are solved at once: the rest of it is matrix products.
_BLOCK = 64


def descending(matrix: Array) -> tuple[Array, Array]:
    """The eigenvalues of a positive semi-definite matrix from the largest down, and its vectors.

    Args:
        matrix: Shape (m, m); what is not symmetric of it is rounding, and averaged away.

    Returns:
        Eigenvalues, shape (m,), none below zero, and eigenvectors as columns, shape (m, m).
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.maximum(values[::-1], 0), vectors[:, ::-1]


def leading(matrix: Array) -> Array:
    """The nonnegative eigenvector of a nonnegative matrix's largest eigenvalue, shape (m,).

    Args:
        matrix: Shape (m, m), perhaps not symmetric.
    """
    values, vectors = np.linalg.eig(matrix)
    return np.asarray(np.abs(np.real(vectors[:, np.argmax(np.real(values))])))


def solve_transposed(lower: Array, right: Array) -> Array:
    """The solution X of Lᵀ X = R, block by block from the last row up.

    A general solver factorizes L anew, which takes as long as half of an eigendecomposition.

    Args:
        lower: Lower triangular, shape (m, m).
        right: Shape (m, n).
    """
    solved = np.array(right)
    for first in reversed(range(0, len(lower), _BLOCK)):
        own, rest = slice(first, first + _BLOCK), slice(first + _BLOCK, None)
        solved[own] -= lower[rest, own].T @ solved[rest]
        solved[own] = np.linalg.solve(lower[own, own].T, solved[own])
    return solved
