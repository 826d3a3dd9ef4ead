"""Conv: one to three dimensions, and every attribute that it has."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from builders import assert_close, check, model, normal, ops, rewritten, run
from generated_convolutions import convolutions
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator


@hypothesis.settings(max_examples=150)
@hypothesis.given(convolutions(), st.sampled_from([None, 0.5]))
def test_full_rank_is_exact(convolution, shift):
    text, weights, x = convolution
    proto = model(text, weights)
    compressed, targets = rewritten(proto, shift=shift)
    assert [t.name for t in targets] == ["c"]
    check(compressed)
    wanted = run(proto, {"x": x})[0] + np.float32(shift or 0)
    assert_close(run(compressed, {"x": x})[0], wanted)


@hypothesis.settings(max_examples=40)
@hypothesis.given(convolutions())
def test_low_rank_is_a_convolution_with_the_low_rank_kernel(convolution):
    text, weights, x = convolution
    compressed, (target,) = rewritten(model(text, weights), rank=1)
    kernels = weights["w"].astype(np.float64).reshape(target.groups, -1, target.rows)
    u, s, v = np.linalg.svd(kernels, full_matrices=False)
    lower = (u[..., :1] * s[:, None, :1]) @ v[:, :1]
    weights = {**weights, "w": lower.reshape(weights["w"].shape).astype(np.float32)}
    assert_close(run(compressed, {"x": x})[0], run(model(text, weights), {"x": x})[0])


@pytest.mark.parametrize(
    ("dtype", "kind", "tolerance"),
    [
        (np.float16, "float16", 2e-2),
        (np.float64, "double", 1e-12),
    ],
)
def test_other_types(dtype, kind, tolerance):
    weights = {"w": normal(1, 6, 4, 3, 3).astype(dtype), "b": normal(2, 6).astype(dtype)}
    proto = model(
        f"({kind}[2, 4, 8, 8] x) => ({kind}[?, ?, ?, ?] y) {{ [c] y = Conv (x, w, b) }}", weights
    )
    compressed, _ = rewritten(proto)
    check(compressed)
    feeds = {"x": normal(3, 2, 4, 8, 8).astype(dtype)}
    if dtype == np.float64:  # onnxruntime has no kernel
        before, after = (
            ReferenceEvaluator(m).run(None, feeds)[0] for m in (proto, check(compressed))
        )
    else:
        before, after = run(proto, feeds)[0], run(compressed, feeds)[0]
    assert_close(after, before, tolerance)


def test_the_shape_of_the_result():
    proto = model(
        "(float[2, 8, 9, 9] x) => (float[?, ?, ?, ?] y) { [c] y = Conv <group = 2, pads = "
        "[1, 0, 1, 0], strides = [2, 2]> (x, w) }",
        {"w": normal(1, 6, 4, 3, 3)},
    )
    after = check(rewritten(proto, rank=2)[0])
    assert ops(after) == ["Conv", "Conv"]
    shapes = {i.name: list(i.dims) for i in after.graph.initializer}
    assert shapes == {"w.down": [4, 4, 3, 3], "w.up": [6, 2, 1, 1]}
    first, second = ({a.name for a in node.attribute} for node in after.graph.node)
    assert first == {"group", "pads", "strides"}
    assert second == {"group", "kernel_shape"}
    assert after.graph.node[1].name == "c"
