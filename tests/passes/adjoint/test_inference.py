"""Facts behind operators at which onnx's inference ends."""

from __future__ import annotations

import onnx_ir as ir
from adjoint_harness import parse

from onnx_factorize.passes.adjoint.inference import infer


def test_facts_go_on_behind_fused_operators() -> None:
    text = """(float16[B, T, 8] x, float16[8] g, int64[B, T] at,
        float16[9, 2] cos, float16[9, 2] sin) => (float16[B, T, 8] y) {
        s = Neg (x)
        a, , , t = com.microsoft.SkipSimplifiedLayerNormalization (x, s, g)
        b = com.microsoft.RotaryEmbedding (a, at, cos, sin)
        c = SimplifiedLayerNormalization (b, g)
        d = com.microsoft.QuickGelu (c)
        e = ThresholdedRelu (d)
        y = Add (e, t) }"""
    model = ir.from_proto(parse(text))
    facts = infer(model)
    x = model.graph.inputs[0]
    for name in "atbcdey":
        (value,) = (v for node in model.graph for v in node.outputs if v.name == name)
        assert facts.dtype(value) == ir.DataType.FLOAT16, name
        assert facts.same_shape(value, x), name


def test_onnx_infers_on_behind_fused_operators() -> None:
    text = """(float16[2, 8, 6] x, float16[2, 8, 6] s, float16[6] g) => (float16[A, B, C, D] y)
        <int64[4] k = {2, 8, 2, 3}> {
        a = com.microsoft.SkipSimplifiedLayerNormalization (x, s, g) r = Reshape (a, k)
        y = DepthToSpace <blocksize = 2> (r) }"""
    model = ir.from_proto(parse(text))
    y = model.graph.outputs[0]
    facts = infer(model)
    assert facts.dims[y] == (2, 2, 4, 6)
    assert facts.dtype(y) == ir.DataType.FLOAT16


def test_branches_that_call_values_alike_share_no_facts() -> None:
    text = """(float[N, 4] x, int64[1] k, bool first) => (float[r, c] y) {
        y = If (first) <
            then_branch = t () => (float[r, c] a) {
                s = Shape (x)
                m = Reshape (x, s)
                a = Flatten (m)
            },
            else_branch = e () => (float[r, c] b) {
                one = Constant <value_ints = [1]> ()
                s = Concat <axis = 0> (k, one, k)
                m = Reshape (x, s)
                b = Flatten (m)
            }>
    }"""
    graph = ir.from_proto(parse(text))
    facts = infer(graph)
    named = [node.outputs[0] for inner in graph.graphs() for node in inner]
    assert [len(facts.dims[value]) for value in named if value.name == "m"] == [2, 3]
