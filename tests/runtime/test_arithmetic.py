"""Multiplications, counted from the shapes that occur."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize import InputError, factorize
from onnx_factorize.passes import count_products
from onnx_factorize.report.inspection import inspect
from onnx_factorize.runtime.arithmetic import count_arithmetic
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

RUNTIME = OnnxRuntime(threads=1)


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
        "(float[b, 8] x) => (float[b, 12] y) { s = custom.Mix (w) [a] y = MatMul (x, s) }",
        {"w": normal(1, 8, 12)},
    )
    found = inspect(proto)
    assert found.target_params == 0
    (layer,) = found.layers
    assert "fold constants first" in layer.reason
    assert found.batched
    assert found.inputs == ["x: float32[b, 8]"]


LSTM = "(float[s, b, 8] x) => (float[s, d, b, 5] y) { [n] y = %s <hidden_size = 5%s> (x, w, r) }"


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_operators_multiply_at_every_step(op, gates, directions):
    text = LSTM % (op, ', direction = "bidirectional"' if directions == 2 else "")
    w, r = normal(2, directions, gates * 5, 8), normal(3, directions, gates * 5, 5)
    found = _count(text, {"x": normal(1, 7, 3, 8)}, {"w": w, "r": r}, samples=3)
    assert found.total == 7 * (w.size + r.size)
    assert found.nodes["n"] == 7 * w.size  # what a cut can spare


def test_a_narrowed_recurrent_operator_still_multiplies():
    """Dense .7 of what it was, not the share of the product alone that stands before it."""
    w, r = normal(2, 1, 64, 24), normal(3, 1, 64, 16)
    text = """(float[s, b, 24] x) => (float[s, d, b, 16] y) {
        [n] y = LSTM <hidden_size = 16> (x, w, r)
    }"""
    proto = model(text, {"w": w, "r": r})
    result = factorize(
        proto, [{"x": normal(4, 6, 4, 24)} for _ in range(8)], budget="targets=0.6",
        weighting="activation", threads=1, rank_multiple=1, outputs={"y": "gaussian"},
    )  # fmt: skip
    (layer,) = (each for each in result.report.layers if each.status == "factorized")
    figures = result.report.model
    steps = figures["dense"].macs // (w.size + r.size)
    assert figures["dense"].macs == steps * (w.size + r.size)
    assert figures["compressed"].macs == steps * (layer.rank * (24 + 64) + r.size)


LOOP = """(float[?, 6] x, int64 trips) => (float[?, 6] y) {
    go = Constant <value = bool {1}> ()
    y = Loop (trips, go, x) <body = b (int64 i, bool c, float[?, 6] h) => (bool d, float[?, 6] n) {
        d = Identity (c)
        [m] p = MatMul (h, w)
        t = Tanh (p)
        n = Concat <axis = 0> (t, t)
    }>
}"""


@pytest.mark.parametrize("trips", [0, 1, 4])
def test_bodies_count_as_often_as_they_run(trips):
    """Each iteration has twice as many rows as the one before."""
    feeds = {"x": normal(1, 3, 6), "trips": np.array(trips)}
    found = _count(LOOP, feeds, {"w": normal(2, 6, 6)})
    assert found.nodes == {"m": 3 * 36 * (2**trips - 1)}


SCAN = """(float[7, 2, 6] x, float[2, 5] h, bool flag) => (float[7, 2, 5] y) {
    last, y = Scan (h, x) <num_scan_inputs = 1, body = b (float[2, 5] s, float[2, 6] e)
        => (float[2, 5] t, float[2, 5] o) {
        [in] p = MatMul (e, w)
        q = If (flag) <
            then_branch = yes () => (float[2, 5] a) { [then] a = MatMul (s, u) },
            else_branch = no () => (float[2, 5] k) { [else] k = Gemm (s, v) } >
        t = Add (p, q)
        o = Identity (t)
    }>
}"""


def test_branches_within_bodies():
    weights = {"w": normal(1, 6, 5), "u": normal(2, 5, 5), "v": normal(3, 5, 5)}
    feeds = {"x": normal(4, 7, 2, 6), "h": normal(5, 2, 5), "flag": np.array(False)}
    found = _count(SCAN, feeds, weights)
    assert found.nodes == {"in": 7 * 2 * 30, "then": 0, "else": 7 * 2 * 25}


@pytest.mark.parametrize(
    ("node", "a", "b", "macs"),
    [
        ('Einsum <equation = "bik,bjk->bij">', (2, 3, 4), (2, 5, 4), 2 * 3 * 5 * 4),
        ('Einsum <equation = "...k,nkj->n...j">', (3, 2, 4), (6, 4, 5), 3 * 2 * 6 * 4 * 5),
        ('Einsum <equation = "bki, bkj">', (2, 4, 3), (2, 4, 5), 2 * 4 * 3 * 5),
        ("MatMul", (2, 3, 4), (2, 4, 5), 2 * 3 * 4 * 5),
    ],
)
def test_products_of_activations_count(node, a, b, macs):
    text = f"(float[?, ?, ?] a, float[?, ?, ?] b) => (float y) {{ [n] y = {node} (a, b) }}"
    feeds = {"a": normal(1, *a), "b": normal(2, *b)}
    proto = model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert count_arithmetic(ir.from_proto(proto), feeds, RUNTIME).total == macs


@pytest.mark.parametrize(
    ("text", "shapes", "macs"),
    [
        ("[n] y = com.microsoft.FusedMatMul <transA = 1, transB = 1> (a, b)",
         {"a": (4, 3), "b": (5, 4)}, 3 * 4 * 5),
        ("[n] y = com.microsoft.FusedConv <activation = \"Relu\"> (a, b)",
         {"a": (1, 4, 9), "b": (6, 4, 3)}, 6 * 7 * 4 * 3),
    ],
)  # fmt: skip
def test_fused_operators_count(text, shapes, macs):
    rank = len(shapes["a"])
    dims = ", ".join("?" * rank)
    proto = model(f"(float[{dims}] a, float[{dims}] b) => (float[{dims}] y) {{ {text} }}")
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    feeds = {name: normal(1, *shape) for name, shape in shapes.items()}
    assert count_arithmetic(ir.from_proto(proto), feeds, RUNTIME).total == macs


def test_what_cannot_be_counted_is_no_budget(monkeypatch):
    monkeypatch.setattr(count_products, "_countable", lambda _: False)
    text = LOOP.replace("n = Concat <axis = 0> (t, t)", "n = Identity (t)")
    proto = model(text, {"w": normal(2, 6, 6)})
    feeds = [{"x": normal(3, 4, 6), "trips": np.array(2)} for _ in range(6)]
    with pytest.raises(InputError, match="cannot be counted"):
        factorize(proto, feeds, budget="macs=0.5", weighting="activation", threads=1)


def test_inspect_names_the_size_of_its_sample():
    text = "(float[b, steps, 8] x) => (float[b, steps, 12] y) { [a] y = MatMul (x, w) }"
    found = inspect(model(text, {"w": normal(1, 8, 12)}))
    assert found.counted_on == {"x": [1, 64, 8]}
    assert found.macs == 64 * 8 * 12
