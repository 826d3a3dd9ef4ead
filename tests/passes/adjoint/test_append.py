"""The pass itself: pruning, completeness, functions, control flow, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from adjoint_harness import Adjoint, check, normal, parse, session, spaced

from onnx_factorize.passes.adjoint import AppendAdjoint


def adjoint_nodes(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph if (node.name or "").startswith("adjoint_")]


def test_mlp_emits_only_what_is_needed() -> None:
    text = """(float[N, 3] x) => (float[N, 2] z) <float[3, 4] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0,
        7.0, 8.0, 9.0, 1.0, 2.0, 3.0}, float[4, 2] v = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}> {
        y = MatMul (x, w) h = Sigmoid (y) z = MatMul (h, v) unused = Exp (h) }"""
    adjoint = Adjoint(parse(text), ["y", "z"])
    assert adjoint_nodes(adjoint.model) == [
        "Identity",
        "Transpose",
        "MatMul",
        "Mul",
        "Sub",
        "Mul",
    ] or (
        sorted(adjoint_nodes(adjoint.model))
        == sorted(["Identity", "Transpose", "MatMul", "Mul", "Sub", "Mul"])
    )


def test_names_of_the_model_survive() -> None:
    text = (
        "(float[N] adjoint_1) => (float[N] y) { adjoint_2 = Exp (adjoint_1) y = Exp (adjoint_2) }"
    )
    adjoint = check(text, {"adjoint_1": normal(3)})
    names = [v.name for node in adjoint.model.graph for v in node.outputs]
    assert names[:2] == ["adjoint_2", "y"]
    assert len(set(names)) == len(names)


def test_several_seeds_and_intermediate_values() -> None:
    text = """(float[N, 3] x) => (float[N, 3] y, float[N, 3] z) {
        a = Exp (x) y = Mul (a, x) b = Sigmoid (a) z = Add (b, y) }"""
    check(text, {"x": normal(2, 3)})
    proto = parse(text)
    adjoint = Adjoint(proto, ["a"])
    x = normal(2, 3)
    g = {"y": normal(2, 3, seed=1), "z": normal(2, 3, seed=2)}
    (found,) = adjoint.run({"x": x}, g)
    gate = 1 / (1 + np.exp(-np.exp(x)))
    truth = x * (g["y"] + g["z"]) + gate * (1 - gate) * g["z"]
    np.testing.assert_allclose(found, truth, rtol=1e-5)


def test_a_path_without_a_rule_makes_the_gradient_absent() -> None:
    text = """(float[N] x, float[N] w) => (float[N] y) {
        a = Exp (x) b = Custom.domain <k = 1> (a) c = Add (a, w) y = Add (b, c) }"""
    text = text.replace("Custom.domain", "com.microsoft.Unheard")
    model = ir.from_proto(parse(text))
    values = {v.name: v for node in model.graph for v in node.outputs}
    x, w = model.graph.inputs
    seed = ir.Value(name="seed", type=ir.TensorType(ir.DataType.FLOAT))
    model.graph.inputs.append(seed)
    step = AppendAdjoint({values["y"]: seed}, [x, values["a"], w, values["b"]])
    step(model)
    assert set(step.gradients) == {w, values["b"]}
    assert set(step.unreachable) == {x, values["a"]}
    assert "Unheard at node" in step.unreachable[x]


def test_values_without_a_path_are_reported() -> None:
    text = """(float[N] x, float[N] w) => (float[N] y) {
        i = Cast <to = 7> (x) f = Cast <to = 1> (i) y = Add (f, w) }"""
    adjoint = Adjoint(parse(text), ["x", "w"])
    assert [v.name for v in adjoint.step.gradients] == ["w"]
    assert [v.name for v in adjoint.step.unreachable] == ["x"]


def test_wrong_declared_shapes_of_intermediate_values() -> None:
    """A stale value_info must not decide whether an operand was broadcast."""
    text = """(float[A, B] x, float[C, D] w) => (float[E, F] y)
        <float[2, 3] a, float[2, 3] b> { a = Exp (x) b = Exp (w) y = Mul (a, b) }"""
    proto = parse(text)
    adjoint = Adjoint(proto, ["x", "w"])
    feeds = {"x": normal(4, 3), "w": normal(1, 3)}
    g = normal(4, 3, seed=2)
    x, w = adjoint.run(feeds, {"y": g})
    product = np.exp(feeds["x"]) * np.exp(feeds["w"]) * g
    np.testing.assert_allclose(x, product, rtol=1e-5)
    np.testing.assert_allclose(w, product.sum(axis=0, keepdims=True), rtol=1e-5)


def test_a_mask_gathered_by_ranges_is_proven_to_broadcast() -> None:
    """As torch's exporter gathers it: the scores' cotangent is summed over no axis."""
    text = """(float[A, B] x, float[N, T] m) => (float[N, 2, T, T] y) <int64 zero = {0},
        int64 one = {1}, int64[1] two = {2}, int64[3] first = {0, 1, 2}, int64[3] last = {1, 2, 3},
        int64[1] end = {4}> {
        n1 = Shape <start = 0, end = 1> (m) t1 = Shape <start = 1, end = 2> (m)
        n = Squeeze (n1) t = Squeeze (t1) shape = Concat <axis = 0> (n1, two, t1, t1)
        scores = Reshape (x, shape) rows = Range (zero, n, one) columns = Range (zero, t, one)
        r = Unsqueeze (rows, last) c = Unsqueeze (columns, first) both = Max (r, c)
        size = Shape (both) r4 = Expand (r, size) c4 = Expand (c, size)
        r5 = Unsqueeze (r4, end) c5 = Unsqueeze (c4, end) indices = Concat <axis = -1> (r5, c5)
        mask = GatherND (m, indices) y = Add (scores, mask) }"""
    adjoint = check(text, {"x": normal(6, 6), "m": normal(2, 3, seed=1)}, ["x"])
    assert "ReduceSum" not in adjoint_nodes(adjoint.model)


def test_operators_with_a_function_body_only() -> None:
    text = """(float[N, 3] x) => (float[N, 3] y) {
        a = Swish <alpha = 1.5> (x) y = Shrink <lambd = 0.3, bias = 0.1> (a) }"""
    check(text, {"x": spaced(2, 3)}, opset=24, single=True, h=1e-3, tolerance=5e-3)


def test_attention_and_rotary_embedding_through_their_functions() -> None:
    text = """(float[1, 2, 3, 4] q, float[1, 2, 3, 4] k, float[1, 2, 3, 4] v) => (float[A,B,C,D] y)
        <float[3, 2] cos = {1.0, 1.0, 0.5, 0.9, -0.4, 0.7},
         float[3, 2] sin = {0.0, 0.0, 0.8, 0.4, 0.9, 0.7}, int64[1, 3] at = {0, 1, 2}> {
        r = RotaryEmbedding (q, cos, sin, at) y = Attention <is_causal = 1> (r, k, v) }"""
    feeds = {name: normal(1, 2, 3, 4, seed=i) for i, name in enumerate("qkv")}
    check(text, feeds, opset=23, single=True, h=1e-2, tolerance=5e-3)


def test_model_local_functions() -> None:
    head = '<ir_version: 9, opset_import: ["" : 18, "mine" : 1]>'
    text = f"""{head} main (float[N, 3] x, float[3] w) => (float[N, 3] y) {{
        a = mine.gate <s = 2.0> (x, w) y = mine.gate <s = 0.5> (a, w) }}
        <domain: "mine", opset_import: ["" : 18]> gate <s> (u, v) => (r) {{
        c = Constant <value_float: float = @s> () t = Mul (u, v) g = Sigmoid (t)
        h = Mul (g, u) r = Mul (h, c) }}"""
    adjoint = Adjoint(onnx.parser.parse_model(text), ["x", "w"])
    assert not adjoint.step.unreachable, adjoint.step.unreachable
    x, w, g = normal(2, 3), normal(3, seed=1), normal(2, 3, seed=2)

    def value(x: np.ndarray, w: np.ndarray) -> float:
        for scale in (2.0, 0.5):
            x = x / (1 + np.exp(-x * w)) * scale
        return float((x * g).sum())

    for found, name in zip(adjoint.run({"x": x, "w": w}, {"y": g}), "xw", strict=True):
        array = {"x": x, "w": w}[name].astype(np.float64)
        for index in np.ndindex(*array.shape):
            move = np.zeros(array.shape)
            move[index] = 1e-5
            args = [
                v.astype(np.float64) + (move if k == name else 0) for k, v in (("x", x), ("w", w))
            ]
            back = [
                v.astype(np.float64) - (move if k == name else 0) for k, v in (("x", x), ("w", w))
            ]
            slope = (value(*args) - value(*back)) / 2e-5
            assert found[index] == pytest.approx(slope, rel=1e-3, abs=1e-4)


BRANCHES = """(float[N, 3] x, bool c) => (float[N, 3] y) <float[3, 3] w = {1.0, 2.0, 0.5, 0.3, -1.0,
    0.7, 0.2, 0.4, -0.6}> {
    a = Exp (x)
    b = If (c) <then_branch = yes () => (float[N, 3] p) {
            t = MatMul (a, w) s = Sigmoid (t) p = Mul (s, x) },
        else_branch = no () => (float[N, 3] q) { u = MatMul (x, w) q = Tanh (u) }>
    y = Mul (b, a) }"""


@pytest.mark.parametrize("taken", [True, False])
def test_branches(taken: bool) -> None:
    proto = parse(BRANCHES)
    adjoint = Adjoint(proto, ["x", "t", "u", "b"])
    assert not adjoint.step.unreachable, adjoint.step.unreachable
    x, g = normal(2, 3), normal(2, 3, seed=1)
    w = np.array([[1, 2, 0.5], [0.3, -1, 0.7], [0.2, 0.4, -0.6]], np.float32)
    gx, gt, gu, gb = adjoint.run({"x": x, "c": np.array(taken)}, {"y": g})
    a = np.exp(x)
    np.testing.assert_allclose(gb, g * a, rtol=1e-5)
    if taken:
        s = 1 / (1 + np.exp(-a @ w))
        truth_t = gb * x * s * (1 - s)
        truth_x = gb * s + (truth_t @ w.T + g * s * x) * a
        np.testing.assert_allclose(gt, truth_t, rtol=1e-4, atol=1e-6)
        assert gu.size == 0
    else:
        u = np.tanh(x @ w)
        truth_u = gb * (1 - u * u)
        truth_x = truth_u @ w.T + g * u * a
        np.testing.assert_allclose(gu, truth_u, rtol=1e-4, atol=1e-6)
        assert gt.size == 0
    np.testing.assert_allclose(gx, truth_x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("outer", "inner"), [(True, True), (True, False), (False, True)])
def test_nested_branches_and_weights_inside(outer: bool, inner: bool) -> None:
    text = """(float[N, 3] x, bool c, bool d) => (float[N, 3] y) {
        y = If (c) <then_branch = yes () => (float[N, 3] p) {
            w = Constant <value = float[3, 3] {1.0, 2.0, 0.5, 0.3, -1.0, 0.7, 0.2, 0.4, -0.6}> ()
            h = Exp (x) t = MatMul (h, w)
            p = If (d) <then_branch = deep () => (float[N, 3] r) { m = Sigmoid (t) k = MatMul (m, w)
                    r = Mul (k, h) },
                else_branch = flat () => (float[N, 3] o) { o = Neg (t) }> },
        else_branch = no () => (float[N, 3] q) { q = Mul (x, x) }> }"""
    adjoint = Adjoint(parse(text), ["x", "t", "k"])
    assert not adjoint.step.unreachable, adjoint.step.unreachable
    x, g = normal(2, 3), normal(2, 3, seed=1)
    w = np.array([[1, 2, 0.5], [0.3, -1, 0.7], [0.2, 0.4, -0.6]], np.float32)
    feeds = {"x": x, "c": np.array(outer), "d": np.array(inner)}
    gx, gt, gk = adjoint.run(feeds, {"y": g})
    h = np.exp(x)
    if not outer:
        np.testing.assert_allclose(gx, 2 * g * x, rtol=1e-5)
        assert gt.size == gk.size == 0
    elif inner:
        m = 1 / (1 + np.exp(-h @ w))
        np.testing.assert_allclose(gk, g * h, rtol=1e-5)
        truth = (g * h) @ w.T * m * (1 - m)
        np.testing.assert_allclose(gt, truth, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(gx, (truth @ w.T + g * (m @ w)) * h, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_allclose(gt, -g, rtol=1e-5)
        assert gk.size == 0
        np.testing.assert_allclose(gx, -(g @ w.T) * h, rtol=1e-4, atol=1e-5)


def test_a_loop_is_reported() -> None:
    text = """(float[N] x) => (float[N] y) <int64 n = {2}, bool go = {1}> {
        y = Loop (n, go, x) <body = step (int64 i, bool k, float[N] s) => (bool k2, float[N] r) {
            k2 = Identity (k) r = Exp (s) }> }"""
    adjoint = Adjoint(parse(text), ["x"])
    (reason,) = adjoint.step.unreachable.values()
    assert reason.startswith("Loop at node")


def test_seeding_an_intermediate_value_with_a_computed_cotangent() -> None:
    model = ir.from_proto(
        parse("(float[N] x) => (float[N] y) { a = Exp (x) y = Exp (a) z = Neg (a) }")
    )
    nodes = list(model.graph)
    step = AppendAdjoint({nodes[0].outputs[0]: nodes[2].outputs[0]}, [model.graph.inputs[0]])
    step(model)
    (gradient,) = step.gradients.values()
    model.graph.outputs.append(gradient)
    x = normal(3)
    (found,) = session(model).run([gradient.name], {"x": x})
    np.testing.assert_allclose(found, -np.exp(2 * x), rtol=1e-5)


def test_half_precision() -> None:
    text = """(float16[N, 6] x) => (float16[N, 6] y) <float[6] w = {1.0, 0.5, 2.0, 0.3, 0.7, 1.5}> {
        c = Cast <to = 10> (w) a = LayerNormalization (x, c) b = Relu (a) d = Softmax (b)
        f = Cast <to = 1> (d) g = Exp (f) y = Cast <to = 10> (g) }"""
    whole = text.replace("float16", "float").replace("<to = 10>", "<to = 1>")
    x, g = normal(3, 6).astype(np.float16), normal(3, 6, seed=1).astype(np.float16)
    (half,) = Adjoint(parse(text), ["x"]).run({"x": x}, {"y": g})
    feeds, seeds = {"x": x.astype(np.float32)}, {"y": g.astype(np.float32)}
    (single,) = Adjoint(parse(whole), ["x"]).run(feeds, seeds)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, single, rtol=2e-2, atol=2e-3)


def test_ranks_that_operators_tell() -> None:
    """Behind a value of unknown rank a Transpose, say, has that of its permutation."""
    text = """(float[N, 4] x, bool c) => (float[N, 3] y) <float[4, 3] w = {
        1.0, 2.0, 0.5, -1.0, 0.3, 0.2, 1.5, -0.5, 1.0, 2.0, 0.1, 0.7}> {
        u = If (c) <then_branch = t () => (float[A] a) { a = Squeeze (x) },
                    else_branch = f () => (float[B] b) { b = Identity (x) }>
        v = Transpose <perm = [1, 0]> (u) r = Transpose <perm = [1, 0]> (v) y = MatMul (r, w) }"""
    proto = parse(text)
    for attribute in proto.graph.node[0].attribute:
        attribute.g.output[0].type.tensor_type.ClearField("shape")
    adjoint = Adjoint(proto, ["x"])
    assert not adjoint.step.unreachable
