"""Eigendecompositions and triangular systems, in the orders that the mathematics here wants."""

from __future__ import annotations

import numpy as np

from ..arrays import Array

__all__ = ["descending", "leading", "positive_inverse", "solve_transposed"]

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


def positive_inverse(matrix: Array) -> Array:
    """The inverse of a positive definite matrix: L⁻ᵀ L⁻¹, in three fifths of a general inverse.

    Raises:
        numpy.linalg.LinAlgError: It is not positive definite, to rounding.
    """
    lower = np.linalg.cholesky(matrix)
    upper = np.eye(len(lower), dtype=lower.dtype)  # becomes L⁻ᵀ, of which the rest stays zero
    for first in reversed(range(0, len(lower), _BLOCK)):
        own, rest = slice(first, first + _BLOCK), slice(first + _BLOCK, None)
        upper[own, rest] -= lower[rest, own].T @ upper[rest, rest]
        upper[own, first:] = np.linalg.solve(lower[own, own].T, upper[own, first:])
    return np.asarray(upper @ upper.T)


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
