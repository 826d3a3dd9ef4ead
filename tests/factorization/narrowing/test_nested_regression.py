"""Regression on nested sets of rows, against one that starts anew for each."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.factorization.narrowing.nested_regression import NestedRegression


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    st.integers(2, 150), st.integers(1, 5), st.sampled_from([1e-8, 1, 1e8]), st.integers(0, 99)
)
def test_weights_on_the_first_rows_are_the_regression_on_them(size, outputs, scale, seed):
    rng = np.random.default_rng(seed)
    seen = rng.standard_normal((3 * size, size)) @ rng.standard_normal((size, size))
    energy = scale * (seen.T @ seen / len(seen) + 0.01 * np.eye(size))
    weight, order = rng.standard_normal((size, outputs)), rng.permutation(size)
    found = NestedRegression.of(order, energy, weight)
    for count in {1, size // 2 + 1, size - 1}:
        kept, gone = np.sort(order[:count]), np.sort(order[count:])
        expected = weight[kept] + np.linalg.solve(
            energy[np.ix_(kept, kept)], energy[np.ix_(kept, gone)] @ weight[gone]
        )
        rows, fitted = found.on(count)
        assert rows.tolist() == kept.tolist()
        np.testing.assert_allclose(fitted, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
        change = found.change(count)
        np.testing.assert_allclose(change[kept], fitted - weight[kept])
        np.testing.assert_allclose(change[gone], -weight[gone])
    np.testing.assert_allclose(found.on(size)[1], weight)


def test_what_is_not_positive_definite_is_said_to_be_so():
    with pytest.raises(np.linalg.LinAlgError):
        NestedRegression.of(np.arange(2), -np.eye(2), np.ones((2, 1)))
