"""Multiplications, counted from the shapes that occur."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.arithmetic import count_arithmetic
from onnx_factorize.report.inspection import inspect
from onnx_factorize.session import Runtime

RUNTIME = Runtime(threads=1)


def _count(text, feeds, weights, samples=1):
    return count_arithmetic(ir.from_proto(model(text, weights)), feeds, RUNTIME, samples)


@pytest.mark.parametrize(
    ("text", "x", "weights", "macs"),
    [
        ("(float[?, ?] x) => (float[?, ?] y) { [n] y = MatMul (x, w) }", (3, 5), (5, 7), 3 * 5 * 7),
        (
            "(float[?, ?, ?] x) => (float[?, ?, ?] y) { [n] y = MatMul (x, w) }",
            (2, 3, 5),
            (5, 7),
            2 * 3 * 5 * 7,
        ),
        (
            "(float[?, ?, ?] x) => (float[?, ?, ?] y) { [n] y = MatMul (x, w) }",
            (2, 3, 5),
            (2, 5, 7),
            2 * 3 * 5 * 7,
        ),
        ("(float[?] x) => (float[?] y) { [n] y = MatMul (x, w) }", (5,), (5, 7), 5 * 7),
        (
            "(float[?, ?] x) => (float[?, ?] y) { [n] y = Gemm <transA = 1, transB = 1> (x, w) }",
            (5, 3),
            (7, 5),
            3 * 5 * 7,
        ),
        (
            (
                "(float[?, ?, ?, ?] x) => (float[?, ?, ?, ?] y) "
                "{ [n] y = Conv <group = 2, strides = [2, 2]> (x, w) }"
            ),
            (1, 4, 9, 9),
            (6, 2, 3, 3),
            6 * 4 * 4 * 2 * 9,
        ),
        (
            "(float[?, ?, ?] x) => (float[?, ?, ?] y) { [n] y = ConvTranspose (x, w) }",
            (1, 4, 9),
            (4, 6, 3),
            4 * 9 * 6 * 3,
        ),
    ],
)
def test_counts(text, x, weights, macs):
    found = _count(text, {"x": normal(1, *x)}, {"w": normal(2, *weights)})
    assert (found.total, found.nodes) == (macs, {"n": macs})


def test_samples_and_branches():
    text = """(float[?, 4] x, bool c) => (float[?, ?] y) { [m] h = MatMul (x, w) y = If (c) <
        then_branch = t () => (float[?, ?] a) { [yes] a = MatMul (h, v) },
        else_branch = e () => (float[?, ?] b) { [no] b = MatMul (h, u) } > }"""
    weights = {"w": normal(1, 4, 6), "v": normal(2, 6, 3), "u": normal(3, 6, 5)}
    feeds = {"x": normal(4, 8, 4), "c": np.array(True)}
    found = _count(text, feeds, weights, samples=8)
    assert found.nodes == {"m": 24, "yes": 18, "no": 0}
    assert found.total == 42


def test_inspect_knows_macs_only_where_the_model_runs_on_zeros():
    proto = model(
        "(float[b, 8] x) => (float[b, 12] y) { h = custom.Mystery (x) [a] y = MatMul (h, w) }",
        {"w": normal(1, 8, 12)},
    )
    found = inspect(proto)
    assert found.macs is None
    assert [(layer.name, layer.status, layer.macs) for layer in found.layers] == [
        ("a", "kept", None)
    ]


def test_inspect_names_what_is_skipped():
    proto = model(
        "(float[b, 8] x) => (float[b, 12] y) { s = Add (w, k) [a] y = MatMul (x, s) }",
        {"w": normal(1, 8, 12), "k": normal(2, 8, 12)},
    )
    found = inspect(proto)
    assert found.target_params == 0
    (layer,) = found.layers
    assert "fold constants first" in layer.reason
    assert found.batched
    assert found.inputs == ["x: float32[b, 8]"]
