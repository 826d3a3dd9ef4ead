"""Conv: one to three dimensions, and every attribute that it has."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from builders import assert_close, check, model, normal, ops, rewritten, run
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator


@st.composite
def convolutions(draw):
    """A Conv that is found, as text, its weights, and an input that it takes."""
    rank = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    auto_pad = draw(st.sampled_from(["absent", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    each = draw(st.integers(2, 3))
    attributes = []
    if draw(st.booleans()):
        attributes.append(f"kernel_shape = {kernel}")
    if any(s > 1 for s in strides) or draw(st.booleans()):
        attributes.append(f"strides = {strides}")
    if auto_pad.startswith("SAME"):
        dilations = [1] * rank  # onnxruntime refuses auto_pad with dilations
    if any(d > 1 for d in dilations) or draw(st.booleans()):
        attributes.append(f"dilations = {dilations}")
    if groups > 1 or draw(st.booleans()):
        attributes.append(f"group = {groups}")
    if auto_pad in ("absent", "NOTSET"):
        pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
        if any(pads) or draw(st.booleans()):
            attributes.append(f"pads = {pads}")
    if auto_pad != "absent":
        attributes.append(f'auto_pad = "{auto_pad}"')
    spatial = [5 + draw(st.integers(0, 3)) for _ in range(rank)]
    weights = {"w": normal(1, groups * draw(st.integers(3, 5)), each, *kernel)}
    bias = draw(st.booleans())
    if bias:
        weights["b"] = normal(2, weights["w"].shape[0])
    written = f"<{', '.join(attributes)}>" if attributes else ""
    open_axes = ", ".join("?" * (rank + 2))
    text = (
        f"(float[{open_axes}] x) => (float[{open_axes}] y) "
        f"{{ [c] y = Conv {written} (x, w{', b' * bias}) }}"
    )
    return text, weights, normal(3, 2, groups * each, *spatial)


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
