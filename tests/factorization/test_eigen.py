"""Triangular systems and inverses against a general solver, whatever the size and the scale."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.factorization.eigen import positive_inverse, solve_transposed


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.integers(1, 200), st.integers(1, 5), st.sampled_from([1e-12, 1.0, 1e12]))
def test_a_transposed_triangular_system_is_solved(size, columns, scale):
    rng = np.random.default_rng(size)
    rows = rng.standard_normal((2 * size, size))
    lower = np.linalg.cholesky(scale * rows.T @ rows)
    right = rng.standard_normal((size, columns))
    kept = right.copy()
    solved = solve_transposed(lower, right)
    np.testing.assert_allclose(lower.T @ solved, right, rtol=0, atol=1e-10 * np.abs(right).max())
    np.testing.assert_array_equal(right, kept)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(st.integers(1, 200), st.sampled_from([1e-12, 1.0, 1e12]))
def test_the_inverse_of_a_positive_definite_matrix(size, scale):
    rows = np.random.default_rng(size).standard_normal((3 * size, size))
    matrix = scale * rows.T @ rows
    inverse = positive_inverse(matrix)
    np.testing.assert_allclose(inverse @ matrix, np.eye(size), atol=1e-8)
    np.testing.assert_allclose(inverse, inverse.T)


def test_what_has_no_cholesky_factor_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        positive_inverse(np.diag([1.0, -1.0]))
