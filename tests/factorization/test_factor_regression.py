"""Second factors as matrices of what stands before them, against the convolution itself."""

from __future__ import annotations

import dataclasses

import hypothesis
import numpy as np
from builders import assert_close, found, model, run, svd_factors
from generated_convolutions import convolutions
from hypothesis import strategies as st

from onnx_factorize.factorization.factor_regression import fitted, narrowed, up_matrices
from onnx_factorize.factorization.rewriting import factors_by_name
from onnx_factorize.factorization.spectrum import decompose
from onnx_factorize.files.model_io import load
from onnx_factorize.passes import RewriteTargets
from onnx_factorize.statistics.im2col import convolution_rows


@hypothesis.settings(max_examples=60)
@hypothesis.given(convolutions(), st.integers(1, 3))
def test_the_product_is_what_the_two_convolutions_give(convolution, rank):
    text, weights, x = convolution
    weights = {**weights, "b": np.zeros_like(weights["b"])} if "b" in weights else weights
    _, finder = found(model(text, weights))
    (target,) = finder.targets
    rows = convolution_rows(
        x, target.convolution, target.groups, 10**6, np.random.default_rng(0)
    ).astype(np.float64)
    for unfolding in (target, *target.unfoldings):
        factors = svd_factors(unfolding, min(rank, unfolding.full_rank))
        matrices = up_matrices(unfolding, factors)
        moments = np.stack([np.eye(matrices.shape[1])] * target.groups)
        again = fitted(factors, matrices, moments)
        np.testing.assert_array_equal(again.up, factors.up)
        y = np.stack(
            [narrowed(unfolding, factors, rows[g], g) @ matrices[g] for g in range(target.groups)]
        )
        near = rewritten_output(text, weights, x, unfolding, factors)
        flat = near.reshape(*near.shape[:2], -1).transpose(0, 2, 1).reshape(-1, near.shape[1])
        wanted = flat.reshape(-1, target.groups, target.columns).transpose(1, 0, 2)
        assert_close(y.astype(np.float32), np.ascontiguousarray(wanted), 1e-4)


def rewritten_output(text, weights, x, unfolding, factors):
    """What onnxruntime makes of the cut."""
    given = load(model(text, weights))
    RewriteTargets({unfolding.name: dataclasses.replace(factors, operator="c")})(given)
    return run(given, {"x": x})[0]


@hypothesis.settings(max_examples=30)
@hypothesis.given(convolutions(), st.integers(1, 2), st.integers(1, 3))
def test_tucker_is_split_again(convolution, rank_in, rank):
    """Nothing is lost of what has the rank; of the rest, what remains is less than all of it."""
    text, weights, x = convolution
    _, finder = found(model(text, weights))
    (target,) = finder.targets
    inner = next((each for each in target.unfoldings if each.unfolding.name == "input"), None)
    hypothesis.assume(inner is not None)
    ranks = {inner.name: rank_in, target.name: min(rank, target.full_rank)}
    spectra = {unfolding.name: decompose(unfolding.matrices()) for unfolding in (target, inner)}
    factors = factors_by_name([target, inner], ranks, spectra, {})[target.name]
    rows = convolution_rows(
        x, target.convolution, target.groups, 10**6, np.random.default_rng(0)
    ).astype(np.float64)
    z = np.stack([narrowed(target, factors, rows[g], g) for g in range(target.groups)])
    moments = z.transpose(0, 2, 1) @ z
    matrices = up_matrices(target, factors)
    if factors.inverse is not None:
        unit = np.stack([np.eye(factors.rank)] * target.groups)
        np.testing.assert_allclose(factors.up @ factors.inverse, unit, atol=1e-9)
    same = up_matrices(target, fitted(factors, matrices, moments))
    scale = np.abs(z @ matrices).max()
    np.testing.assert_allclose(z @ same, z @ matrices, atol=1e-6 * scale)
