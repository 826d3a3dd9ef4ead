"""Moments of operators that share a weight: the nearest Kronecker product."""

from __future__ import annotations

import hypothesis
import numpy as np
from hypothesis import strategies as st

from onnx_factorize.factorization.tied_weights import nearest_kronecker


def _moment(rng, size, scale):
    rows = rng.standard_normal((2 * size, size))
    return scale * rows.T @ rows


@hypothesis.given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_it_is_the_best_approximation_of_rank_one(seed, terms, m, n):
    """Against the singular value decomposition of the rearranged sum."""
    rng = np.random.default_rng(seed)
    left = [_moment(rng, m, 10.0 ** rng.integers(-6, 6)) for _ in range(terms)]
    right = [_moment(rng, n, 10.0 ** rng.integers(-6, 6)) for _ in range(terms)]
    rearranged = sum(np.outer(b, c) for b, c in zip(left, right, strict=True))
    s = np.linalg.svd(rearranged, compute_uv=False)
    b, c = nearest_kronecker(left, right)
    error = np.linalg.norm(rearranged - np.outer(b, c))
    best = np.sqrt(np.sum(s[1:] ** 2))
    assert error <= best + 1e-6 * s[0]
    for matrix in (b, c):
        assert np.linalg.eigvalsh(matrix).min() >= -1e-9 * np.abs(matrix).max()


def test_a_term_that_never_ran_does_not_count():
    zero = np.zeros((3, 3))
    b, c = nearest_kronecker([zero, np.eye(3)], [zero, 2 * np.eye(3)])
    np.testing.assert_allclose(np.outer(b, c), np.outer(np.eye(3), 2 * np.eye(3)), atol=1e-12)
