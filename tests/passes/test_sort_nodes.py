"""Graphs whose nodes are in another order than the standard asks for."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from builders import W_LARGE, model, normal, run

from onnx_factorize import factorize
from onnx_factorize.errors import InputError
from onnx_factorize.files import model_io
from onnx_factorize.passes import SortNodes

PLAIN = """(float[b, 64] x) => (float[b, 48] y) {
    h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) y = Gemm (r, w2, b2) }"""
BRANCH = """(float[b, 64] x, bool c) => (float[b, 96] y) {
    h = MatMul (x, w1)
    y = If (c) <then_branch = t () => (float[b, 96] u) { v = Neg (h) u = Add (v, b1) },
                else_branch = e () => (float[b, 96] w) { w = Relu (h) }> }"""


def _turned(text, weights):
    proto = model(text, weights)
    for graph in [proto.graph, *(a.g for n in proto.graph.node for a in n.attribute if a.g.node)]:
        nodes = list(graph.node)[::-1]
        del graph.node[:]
        graph.node.extend(nodes)
    return proto


@pytest.mark.parametrize(
    ("text", "weights"),
    [(PLAIN, W_LARGE), (BRANCH, {"w1": W_LARGE["w1"], "b1": W_LARGE["b1"]})],
)
def test_sorted_as_it_is_read(text, weights):
    wanted = [node.op_type for node in ir.from_proto(model(text, weights)).graph.all_nodes()]
    loaded = model_io.load(_turned(text, weights))
    assert [node.op_type for node in loaded.graph.all_nodes()] == wanted
    assert not SortNodes()(loaded).modified


def test_a_sorted_graph_keeps_its_order():
    """Of several orders its own."""
    loaded = ir.from_proto(
        model(
            "(float[2] x) => (float[2] y) { c = Abs (x) b = Neg (x) a = Add (b, c) y = Relu (a) }"
        )
    )
    assert not SortNodes()(loaded).modified
    assert [node.op_type for node in loaded.graph] == ["Abs", "Neg", "Add", "Relu"]


def test_the_whole_way():
    found = factorize(_turned(PLAIN, W_LARGE), [{"x": normal(1, 64, 64)}], threads=1)
    assert run(found.model, {"x": normal(2, 3, 64)})[0].shape == (3, 48)


def test_a_circle():
    proto = model("(float[2, 2] x) => (float[2, 2] y) { y = MatMul (x, b) }")
    proto.graph.node.add(op_type="Identity", input=["b"], output=["a"])
    proto.graph.node.add(op_type="Identity", input=["a"], output=["b"])
    with pytest.raises(InputError, match="in a circle"):
        model_io.load(proto)
