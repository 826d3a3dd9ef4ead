"""Second factors as matrices of what stands before them, against the convolution itself."""

from __future__ import annotations

import dataclasses

import hypothesis
import numpy as np
from builders import assert_close, found, model, run, svd_factors
from generated_convolutions import convolutions
from hypothesis import strategies as st

from onnx_factorize.model_io import load
from onnx_factorize.passes import RewriteTargets
from onnx_factorize.rows import convolution_rows
from onnx_factorize.second_factor import fitted, narrowed, second_matrices


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
    for view in (target, *target.views):
        factors = svd_factors(view, min(rank, view.full_rank))
        matrices = second_matrices(view, factors)
        again = fitted(factors, matrices, None)
        np.testing.assert_array_equal(again.second, factors.second)
        y = np.stack(
            [narrowed(view, factors, rows[g], g) @ matrices[g] for g in range(target.groups)]
        )
        near = rewritten_output(text, weights, x, view, factors)
        flat = near.reshape(*near.shape[:2], -1).transpose(0, 2, 1).reshape(-1, near.shape[1])
        wanted = flat.reshape(-1, target.groups, target.columns).transpose(1, 0, 2)
        assert_close(y.astype(np.float32), np.ascontiguousarray(wanted), 1e-4)


def rewritten_output(text, weights, x, view, factors):
    """What onnxruntime makes of the cut."""
    given = load(model(text, weights))
    RewriteTargets({view.name: dataclasses.replace(factors, operator="c")})(given)
    return run(given, {"x": x})[0]
