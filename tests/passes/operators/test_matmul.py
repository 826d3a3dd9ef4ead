"""MatMul: exact at full rank, the truncated SVD below it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from builders import assert_close, check, found, model, normal, ops, rewritten, run

K, N = 7, 6  # full rank has more weights than dense: exactness is what is tested here


def _matmul(x_shape: tuple[int, ...], bias: tuple[int, ...] | None, side: str, dtype="float"):
    x = ", ".join(map(str, x_shape))
    y_rank = "".join("," * bool(i) + "?" for i in range(len(x_shape)))
    body = "[mm] y = MatMul (x, w)"
    weights = {"w": normal(1, K, N)}
    if bias is not None:
        operands = "h, b" if side == "right" else "b, h"
        body = f"[mm] h = MatMul (x, w) [add] y = Add ({operands})"
        weights["b"] = normal(2, *bias)
        y_rank = "".join("," * bool(i) + "?" for i in range(max(len(x_shape), len(bias))))
    text = f"({dtype}[{x}] x) => ({dtype}[{y_rank}] y) {{ {body} }}"
    return text, weights


@pytest.mark.parametrize("x_shape", [(K,), (5, K), (2, 5, K), (2, 3, 5, K)])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("bias", [None, (N,), (1,), (), (1, N), (5, 1), (5, N), (1, 1, N)])
def test_full_rank_is_exact(x_shape, bias, side):
    if bias is not None and len(x_shape) == 1 and bias[:1] == (5,):
        pytest.skip("does not broadcast to one row, and is covered by higher ranks")
    text, weights = _matmul(x_shape, bias, side)
    proto = model(text, weights)
    feeds = {"x": normal(3, *x_shape)}
    compressed, targets = rewritten(proto)
    assert [t.name for t in targets] == ["mm"]
    check(compressed)
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0])


@pytest.mark.parametrize("x_shape", [(K,), (2, 5, K)])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("bias", [(N,), (1,)])
def test_the_bias_takes_the_shift(x_shape, bias, side):
    text, weights = _matmul(x_shape, bias, side)
    feeds = {"x": normal(3, *x_shape)}
    compressed, targets = rewritten(model(text, weights), rank=3, shift=0.75)
    assert targets[0].centred
    u, s, v = np.linalg.svd(weights["w"].astype(np.float64))
    reference = feeds["x"].astype(np.float64) @ (u[:, :3] * s[:3]) @ v[:3] + weights["b"] + 0.75
    assert_close(run(compressed, feeds)[0], reference.astype(np.float32))


@pytest.mark.parametrize("bias", [(5, 1), (5, N), (1, 1, N), ()])
def test_a_bias_that_is_no_flat_row_is_left_alone(bias):
    text, weights = _matmul((2, 5, K), bias, "right")
    compressed, targets = rewritten(model(text, weights), rank=2, shift=1.0)
    assert not targets[0].centred
    assert "b" in compressed.graph.initializers


def test_low_rank_equals_the_reference():
    text, weights = _matmul((2, 5, K), None, "right")
    feeds = {"x": normal(3, 2, 5, K)}
    compressed, _ = rewritten(model(text, weights), rank=2)
    u, s, v = np.linalg.svd(weights["w"].astype(np.float64))
    reference = feeds["x"].astype(np.float64) @ (u[:, :2] * s[:2]) @ v[:2]
    assert_close(run(compressed, feeds)[0], reference.astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "numpy_type", "tolerance"),
    [
        ("float16", np.float16, 1e-2),
        ("double", np.float64, 1e-12),
    ],
)
def test_other_types(dtype, numpy_type, tolerance):
    text, weights = _matmul((2, 5, K), (N,), "right", dtype)
    proto = model(text, {k: v.astype(numpy_type) for k, v in weights.items()})
    feeds = {"x": normal(3, 2, 5, K).astype(numpy_type)}
    compressed, _ = rewritten(proto)
    check(compressed)
    assert all(
        i.data_type == proto.graph.initializer[0].data_type
        for i in check(compressed).graph.initializer
    )
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0], tolerance)


def test_bfloat16_weights_stay_bfloat16():
    """onnxruntime's CPU kernels do not run it: the types and the product's values are checked."""
    text, weights = _matmul((2, K), None, "right", "bfloat16")
    proto = model(text)
    proto.graph.initializer.append(
        onnx.helper.make_tensor("w", onnx.TensorProto.BFLOAT16, (K, N), weights["w"].ravel())
    )
    compressed, targets = rewritten(proto)
    exact = targets[0].matrices()[0]
    after = check(compressed)
    assert {i.data_type for i in after.graph.initializer} == {onnx.TensorProto.BFLOAT16}
    down, up = (
        compressed.graph.initializers[name].const_value.numpy().astype(np.float64)
        for name in ("w.down", "w.up")
    )
    np.testing.assert_allclose(down @ up, exact, atol=0.03 * np.abs(exact).max())


def test_the_node_keeps_its_name_output_and_metadata():
    text, weights = _matmul((2, K), (N,), "right")
    proto = model(text, weights)
    proto.graph.node[0].doc_string = "the encoder's projection"
    proto.graph.node[0].metadata_props.add(key="origin", value="layer 3")
    after = check(rewritten(proto)[0])
    assert ops(after) == ["MatMul", "MatMul", "Add"]
    last = after.graph.node[1]
    assert last.name == "mm"
    assert list(last.output) == ["h"]
    assert last.doc_string == "the encoder's projection"
    assert {p.key: p.value for p in last.metadata_props} == {
        "origin": "layer 3",
        "pkg.onnx_factorize.origin": "mm",
        "pkg.onnx_factorize.form": "MatMul: two MatMuls",
        "pkg.onnx_factorize.rank": "6/6",
    }
    assert sorted(i.name for i in after.graph.initializer) == ["b", "w.down", "w.up"]


def test_new_names_avoid_those_that_are_taken():
    proto = model(
        """(float[2, 7] x) => (float[2, 6] y, float[2, 7] z) {
            [mm] h = MatMul (x, w)
            [taken] r = Relu (x)
            z = Identity (r)
            y = Relu (h)
        }""",
        {"w": normal(1, K, N), "w.down": normal(2, 2)},
    )
    proto.graph.node[1].name = "mm.down"
    proto.graph.node[1].output[0] = proto.graph.node[2].input[0] = "h.down"
    feeds = {"x": normal(3, 2, K)}
    compressed, _ = rewritten(proto)
    check(compressed)
    for actual, wanted in zip(run(compressed, feeds), run(proto, feeds), strict=True):
        assert_close(actual, wanted)
    nodes = [node.name for node in compressed.graph if node.name]
    assert len(set(nodes)) == len(nodes)


def test_a_product_that_is_also_an_output_gets_no_shift():
    """The Add is not the only reader: its bias must not move the other reader's values."""
    proto = model(
        "(float[2, 7] x) => (float[2, 6] y, float[2, 6] h) "
        "{ [mm] h = MatMul (x, w) y = Add (h, b) }",
        {"w": normal(1, K, N), "b": normal(2, N)},
    )
    _, finder = found(proto)
    assert not finder.targets[0].centred
    feeds = {"x": normal(3, 2, K)}
    for actual, wanted in zip(run(rewritten(proto)[0], feeds), run(proto, feeds), strict=True):
        assert_close(actual, wanted)


def test_a_shared_bias_is_copied():
    proto = model(
        """(float[2, 7] x) => (float[2, 6] y, float[2, 6] z) {
            [mm] h = MatMul (x, w)
            y = Add (h, b)
            z = Expand (b, s)
        }""",
        {"w": normal(1, K, N), "b": normal(2, N), "s": np.array([2, 6])},
    )
    feeds = {"x": normal(3, 2, K)}
    compressed, _ = rewritten(proto, shift=2.0)
    before, after = run(proto, feeds), run(compressed, feeds)
    assert_close(after[0], before[0] + np.float32(2))
    np.testing.assert_array_equal(after[1], before[1])
