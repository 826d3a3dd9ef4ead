"""Eigendecompositions, in the orders and signs that the mathematics here wants."""

from __future__ import annotations

import numpy as np

from ..arrays import Array

__all__ = ["descending", "leading"]


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
