"""The whitened decomposition against numpy's SVD of the whitened weight."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.factorization.kronecker_factors import KroneckerFactors
from onnx_factorize.factorization.spectrum import damped, decompose

DAMPING = 1e-4


def _root(moment):
    values, vectors = np.linalg.eigh(moment)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _whitened(weight, A, G):
    A = np.eye(weight.shape[0]) if A is None else damped(A, DAMPING)
    G = np.eye(weight.shape[1]) if G is None else damped(G, DAMPING)
    return _root(A) @ weight @ _root(G)


@st.composite
def problems(draw):
    """A weight, and metrics of full, deficient or no rank, of any scale."""
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    scales = [10.0 ** draw(st.sampled_from([-12, -3, 0, 12])) for _ in range(3)]
    weight = rng.standard_normal((rows, columns)) * scales[0]
    if draw(st.booleans()):  # a weight of low rank
        weight = weight[:, :1] @ np.ones((1, columns))

    def metric(size, scale):
        kind = draw(st.sampled_from(["none", "full", "deficient", "zero"]))
        if kind == "none":
            return None
        if kind == "zero":
            return np.zeros((size, size))
        data = rng.standard_normal((3 * size if kind == "full" else max(1, size // 2), size))
        return data.T @ data / len(data) * scale

    return weight, metric(rows, scales[1]), metric(columns, scales[2])


@hypothesis.settings(max_examples=200)
@hypothesis.given(problems())
def test_truncation_is_the_best_in_the_metric(problem):
    weight, A, G = problem
    spectrum = decompose(
        weight[None], None if A is None else A[None], None if G is None else G[None], DAMPING
    )
    target = _whitened(weight, A, G)
    sigma = np.linalg.svd(target, compute_uv=False)
    energy = float(np.square(sigma).sum())
    full = min(weight.shape)
    assert spectrum.squares.shape == (full,)
    assert (np.diff(spectrum.squares) <= 0).all()
    np.testing.assert_allclose(spectrum.squares, np.square(sigma), atol=1e-9 * energy)
    np.testing.assert_allclose(spectrum.energy, energy, rtol=1e-9)
    for rank in range(full + 1):
        down, up = spectrum.truncated(rank)
        assert down.shape == (1, weight.shape[0], rank)
        assert up.shape == (1, rank, weight.shape[1])
        # Eckart and Young: nothing of this rank has a smaller error; and it is the predicted one.
        best = float(np.square(sigma[rank:]).sum())
        error = float(np.square(target - _whitened(down[0] @ up[0], A, G)).sum())
        assert error <= best + 1e-8 * energy
        assert spectrum.discarded(rank) == pytest.approx(best, abs=1e-8 * energy)


@hypothesis.settings(max_examples=100)
@hypothesis.given(problems())
def test_full_rank_is_the_weight_in_balanced_factors(problem):
    weight, A, G = problem
    spectrum = decompose(
        weight[None], None if A is None else A[None], None if G is None else G[None], DAMPING
    )
    down, up = (factor[0] for factor in spectrum.truncated(min(weight.shape)))
    scale = np.abs(weight).max()
    np.testing.assert_allclose(down @ up, weight, atol=1e-7 * scale)
    left, right = np.linalg.norm(down, axis=0), np.linalg.norm(up, axis=1)
    matters = left * right > 1e-12 * scale
    np.testing.assert_allclose(left[matters], right[matters], rtol=1e-6)


def test_groups_are_decomposed_apart_and_cut_to_one_rank():
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((3, 5, 4))
    data = rng.standard_normal((3, 50, 5))
    A = np.einsum("gni,gnj->gij", data, data)
    whole = decompose(weight, A)
    parts = [decompose(weight[i : i + 1], A[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(whole.squares, np.sum([p.squares for p in parts], axis=0))
    down, up = whole.truncated(2)
    for i, part in enumerate(parts):
        np.testing.assert_allclose(down[i] @ up[i], np.matmul(*part.truncated(2))[0])


def test_directions_that_the_data_do_not_use_go_first():
    """The point of the whole: the plain SVD keeps the large but unused direction."""
    weight = np.diag([1.0, 100.0])[None]
    A = np.diag([1.0, 0.0])[None]
    down, up = decompose(weight, A, damping=1e-6).truncated(1)
    np.testing.assert_allclose((down @ up)[0], np.diag([1.0, 0.0]), atol=1e-2)


def test_damping():
    moment = np.diag([2.0, 0.0])
    np.testing.assert_allclose(damped(moment, 0.1), np.diag([2.1, 0.1]))
    np.testing.assert_array_equal(damped(np.zeros((3, 3)), 0.1), np.eye(3))


@hypothesis.settings(max_examples=100)
@hypothesis.given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 8),
    gradients=st.booleans(),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 999),
)
def test_what_is_observed_on_the_narrow_side_suffices(rows, columns, gradients, scale, seed):
    """The moments of y and g, or of x and W g, give what those of x and g would have given."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((rows, columns)) * scale
    x, g = rng.standard_normal((40, rows)), rng.standard_normal((40, columns)) / scale
    A, G = x.T @ x / 40, g.T @ g / 40
    side = "output" if columns <= rows else "input"
    if side == "output":
        signal, gradient = weight.T @ A @ weight, G
    else:
        signal, gradient = A, weight @ G @ weight.T
    tiny = 1e-12
    moments = KroneckerFactors(
        weight[None], side, signal[None], gradient[None] if gradients else None
    )
    observed = moments.decompose(tiny, tiny)
    direct = decompose(weight[None], A[None], G[None] if gradients else None, tiny)
    np.testing.assert_allclose(observed.squares, direct.squares, atol=1e-7 * direct.energy)
    for rank in range(min(rows, columns) + 1):
        one, other = (np.matmul(*s.truncated(rank))[0] for s in (observed, direct))
        if 0 < rank < min(rows, columns):
            gap = direct.squares[rank - 1] - direct.squares[rank]
            if gap < 1e-3 * direct.energy:
                continue  # two directions that matter alike: either may come first
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(weight).max())
    whole = np.matmul(*observed.truncated(min(rows, columns)))[0]
    np.testing.assert_allclose(whole, weight, atol=1e-7 * np.abs(weight).max())
    np.testing.assert_allclose(
        observed.basis[0] @ observed.dual[0], np.eye(min(rows, columns)), atol=1e-7
    )
    assert observed.side == direct.side == side


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("signal", ["zero", "deficient"])
@pytest.mark.parametrize("prior", ["identity", "weight"])
def test_observed_moments_of_few_rows(side, signal, prior):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((1, 4, 9) if side == "input" else (1, 9, 4))
    row = rng.standard_normal((1, 4)) * (signal != "zero")
    spectrum = KroneckerFactors(weight, side, (row.T @ row)[None], (row.T @ row)[None]).decompose(
        prior=prior
    )
    assert np.isfinite(spectrum.squares).all()
    assert spectrum.energy > 0
    np.testing.assert_allclose(np.matmul(*spectrum.truncated(4)), weight, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(9, 5), (5, 9)])
def test_the_columns_of_the_weight_as_samples_of_the_input(rows, columns):
    """Shrunk to nothing but the prior, the metric is the second moment of the centred columns."""
    weight = np.random.default_rng(2).standard_normal((rows, columns))
    side = "output" if columns <= rows else "input"
    nothing = np.zeros((1, min(rows, columns), min(rows, columns)))
    found = KroneckerFactors(weight[None], side, nothing).decompose(prior="weight")
    unit = weight / np.linalg.norm(weight, axis=0)
    unit -= unit.mean(axis=1, keepdims=True)
    direct = decompose(weight[None], (unit @ unit.T)[None], damping=1e-4)
    for rank in range(1, 4):
        error = [
            float(np.square(unit.T @ (weight - np.matmul(*each.truncated(rank))[0])).sum())
            for each in (found, direct)
        ]
        assert error[0] == pytest.approx(error[1], rel=2e-2)
