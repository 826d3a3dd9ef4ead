"""Gemm: every combination of its attributes, at every version of the operator."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from builders import assert_close, check, model, normal, ops, rewritten, run

M, K, N = 4, 7, 6
C_SHAPES = [None, (), (1,), (N,), (1, N), (M, N), (M, 1), (1, 1)]
FLAGS = list(itertools.product([0, 1], [0, 1], [None, 0.5], [None, -1.5]))


def _gemm(trans_a, trans_b, alpha, beta, c, opset, dtype=np.float32):
    attributes = [f"transA = {trans_a}", f"transB = {trans_b}"]
    attributes += [f"alpha = {alpha}"] if alpha is not None else []
    attributes += [f"beta = {beta}"] if beta is not None else []
    a = f"{K}, {M}" if trans_a else f"{M}, {K}"
    kind = {np.float32: "float", np.float16: "float16", np.float64: "double"}[dtype]
    weights = {"w": normal(1, *((N, K) if trans_b else (K, N)), dtype=dtype)}
    if c is not None:
        weights["c"] = normal(2, *c).astype(dtype)
    operands = "x, w, c" if c is not None else "x, w"
    text = (
        f"({kind}[{a}] x) => ({kind}[{M}, {N}] y) "
        f"{{ [g] y = Gemm <{', '.join(attributes)}> ({operands}) }}"
    )
    proto = model(text, weights, opset=opset, ir_version=9 if opset > 8 else 4)
    return proto, {"x": normal(3, *((K, M) if trans_a else (M, K))).astype(dtype)}


@pytest.mark.parametrize("c", C_SHAPES, ids=str)
@pytest.mark.parametrize("opset", [7, 9, 11, 13, 26])
def test_full_rank_is_exact(opset, c):
    if c is None and opset < 11:
        pytest.skip("C is required before opset 11")
    for flags in FLAGS:
        proto, feeds = _gemm(*flags, c, opset)
        compressed, targets = rewritten(proto)
        assert [t.name for t in targets] == ["g"]
        check(compressed)
        assert_close(run(compressed, feeds)[0], run(proto, feeds)[0], 2e-6)


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("c", C_SHAPES, ids=str)
def test_low_rank_and_shift_equal_the_reference(flags, c):
    """The shift is in units of the output: alpha and beta do not touch it."""
    trans_a, trans_b, alpha, beta = flags
    proto, feeds = _gemm(*flags, c, 13)
    compressed, targets = rewritten(proto, rank=2, shift=0.75)
    assert targets[0].centred == (c not in [(M, N), (M, 1)])
    weights = {i.name: i for i in compressed.graph.initializers.values()}
    assert "w" not in weights
    w = normal(1, *((N, K) if trans_b else (K, N))).astype(np.float64)
    u, s, v = np.linalg.svd((w.T if trans_b else w) * (1 if alpha is None else alpha))
    x = feeds["x"].astype(np.float64)
    wanted = (x.T if trans_a else x) @ (u[:, :2] * s[:2]) @ v[:2]
    if c is not None:
        wanted = wanted + normal(2, *c).astype(np.float64) * (1 if beta is None else beta)
    if targets[0].centred:
        wanted = wanted + 0.75
    assert_close(run(compressed, feeds)[0], wanted.astype(np.float32))
    check(compressed)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 1e-2), (np.float64, 1e-12)])
def test_other_types(dtype, tolerance):
    proto, feeds = _gemm(0, 1, 0.5, 2.0, (N,), 13, dtype)
    compressed, _ = rewritten(proto)
    check(compressed)
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0], tolerance)


def test_an_omitted_bias_by_its_empty_name():
    proto, feeds = _gemm(0, 0, None, None, None, 13)
    proto.graph.node[0].input.append("")
    compressed, _ = rewritten(proto, shift=1.0)
    check(compressed)
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0] + np.float32(1))


def test_a_computed_bias_stays():
    proto = model(
        "(float[4, 7] x, float[6] c) => (float[4, 6] y) "
        "{ d = Neg (c) [g] y = Gemm <beta = 2.0> (x, w, d) }",
        {"w": normal(1, K, N)},
    )
    compressed, targets = rewritten(proto, shift=1.0)
    assert not targets[0].centred
    feeds = {"x": normal(2, M, K), "c": normal(3, N)}
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0])
    assert ops(check(compressed)) == ["Neg", "Gemm", "Gemm"]


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("opset", [10, 13])
def test_factors_are_stored_as_the_weight_was(trans_a, opset):
    """A converter that reads the original reads the chain: a row to add, `transB`, no `alpha`."""
    proto, feeds = _gemm(trans_a, 1, 0.5, 2.0, (N,), opset)
    compressed, targets = rewritten(proto, rank=3, shift=1.0)
    first, second = check(compressed).graph.node
    weights = {name: tuple(v.shape.numpy()) for name, v in compressed.graph.initializers.items()}
    assert [weights[name] for name in first.input[1:]] == [(3, K), (3,)]
    assert weights[second.input[1]] == (N, 3)
    assert not compressed.graph.initializers[first.input[2]].const_value.numpy().any()
    attributes = [
        {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in (first, second)
    ]
    assert attributes == [{"transB": 1} | ({"transA": 1} if trans_a else {}), {"transB": 1}]
    assert sum(np.prod(shape) for shape in weights.values()) == targets[0].factor_params(3) + N
    assert run(compressed, feeds)[0].shape == (M, N)


def test_factors_of_a_straight_weight_are_straight():
    proto, _ = _gemm(0, 0, None, None, None, 13)
    compressed, targets = rewritten(proto, rank=2)
    first, second = check(compressed).graph.node
    assert [len(first.input), len(second.input)] == [2, 2]
    assert not first.attribute
    assert targets[0].factor_params(2) == 2 * (K + N)
