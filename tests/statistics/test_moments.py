"""Moments: sums that merge."""

from __future__ import annotations

import hypothesis
import numpy as np
from builders import normal
from hypothesis import strategies as st

from onnx_factorize.statistics.moments import GradientMoments, Moments, RowImportance


def _reference(rows):
    rows = rows.astype(np.float64)
    mean = rows.mean(axis=1)
    return mean, np.stack(
        [np.cov(group.T, bias=True).reshape(group.shape[1], -1) for group in rows]
    )


@hypothesis.given(
    groups=st.integers(1, 3),
    width=st.integers(1, 5),
    parts=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, 1.0, -300.0]),
    seed=st.integers(0, 99),
)
def test_parts_merge_into_the_whole(groups, width, parts, offset, seed):
    hypothesis.assume(sum(parts) > 0)
    rows = normal(seed, groups, sum(parts), width, dtype=np.float64) + offset
    total = Moments.empty(groups, width)
    for part in np.split(rows, np.cumsum(parts)[:-1], axis=1):
        total.merge(Moments.of(part))
    mean, covariance = _reference(rows)
    assert total.count == sum(parts)
    np.testing.assert_allclose(total.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(total.covariance, covariance, atol=1e-9)
    second = np.stack([g.T @ g / sum(parts) for g in rows])
    np.testing.assert_allclose(total.second_moment, second, atol=1e-9 * (1 + offset**2))


def test_a_large_mean_costs_no_precision():
    """Uncentred float32 products would be off by as much as the variance itself."""
    rows = (1e4 + normal(1, 1, 4000, 6)).astype(np.float32)
    total = Moments.empty(1, 6)
    for part in np.array_split(rows, 7, axis=1):
        total.merge(Moments.of(part))
    mean, covariance = _reference(rows)
    np.testing.assert_allclose(total.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(total.covariance, covariance, atol=2e-3)


def test_merging_is_symmetric():
    a, b = normal(1, 2, 10, 3), normal(2, 2, 5, 3) + np.float32(3)
    one, other = Moments.of(a), Moments.of(b)
    one.merge(Moments.of(b))
    other.merge(Moments.of(a))
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)


def test_no_rows():
    empty = Moments.of(np.zeros((2, 0, 3), np.float32))
    assert empty.count == 0
    assert np.isfinite(empty.covariance).all()
    empty.merge(Moments.empty(2, 3))
    assert empty.count == 0
    rows = normal(1, 2, 4, 3)
    empty.merge(Moments.of(rows))
    np.testing.assert_allclose(empty.mean, rows.mean(axis=1), rtol=1e-6)


def test_half_precision_rows_are_summed_in_more():
    rows = (60 + normal(1, 1, 3000, 3)).astype(np.float16)
    mean, covariance = _reference(rows)
    found = Moments.of(rows)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-3)


def test_gradients_are_summed_over_positions_and_averaged_over_samples():
    g = normal(1, 2, 12, 3, dtype=np.float64)
    total = GradientMoments.empty(2, 3)
    total.add(g[:, :8], samples=2)
    total.add(g[:, 8:], samples=1)
    np.testing.assert_allclose(total.mean, np.stack([x.T @ x for x in g]) / 3)
    assert total.samples == 3
    assert not GradientMoments.empty(1, 2).mean.any()


def test_sampled_gradients_stand_for_those_left_out():
    g = normal(1, 1, 12, 3, dtype=np.float64)
    total = GradientMoments.empty(1, 3)
    total.add(g[:, ::2], samples=1, scale=2.0)
    np.testing.assert_allclose(total.mean[0], 2 * g[0, ::2].T @ g[0, ::2])


def test_the_importance_of_rows_merges():
    squares = np.square(normal(1, 6, 2, 3, dtype=np.float64))
    whole, halves = RowImportance.empty(2, 3), [RowImportance.empty(2, 3) for _ in range(2)]
    for number, each in enumerate(squares):
        whole.add(each, 1)
        halves[number % 2].add(each, 1)
    halves[0].merge(halves[1])
    assert whole.samples == halves[0].samples == 6
    np.testing.assert_allclose(whole.mean, squares.mean(axis=0))
    np.testing.assert_allclose(halves[0].mean, whole.mean)
    alike = RowImportance.alike(2, 3)
    alike.merge(RowImportance.alike(2, 3))
    np.testing.assert_array_equal(alike.mean, np.ones((2, 3)))
