"""Segments have bounded weights and are cut where little crosses; what cannot be cut is said."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.passes.segments import NotSegmentedError, SegmentModels, partition
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

# Within a layer two or three values cross, between layers one.
LAYER = """a{i} = MatMul ({x}, u{i}) b{i} = Sigmoid (a{i})
           c{i} = MatMul (b{i}, v{i}) x{i} = Add ({x}, c{i})"""
BRANCHES = """(bool c, float[2, 8] x) => (float[2, 8] y) {
    y = If (c) <then_branch = one () => (float[2, 8] t) { t = MatMul (x, w) },
                else_branch = other () => (float[2, 8] f) { f = MatMul (x, v) }>
}"""


def _layers(count: int) -> ir.Model:
    body = " ".join(LAYER.format(i=i, x=f"x{i - 1}" if i else "x") for i in range(count))
    text = f"(float[n, 8] x) => (float[n, 8] x{count - 1}) {{ {body} }}"
    weights = {f"{n}{i}": normal(i, *s) for i in range(count) for n, s in _SHAPES.items()}
    return ir.from_proto(model(text, weights))


_SHAPES = {"u": (8, 16), "v": (16, 8)}
_LAYER_BYTES = 2 * 4 * 8 * 16


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_cuts_are_between_layers(layers):
    segments = partition(_layers(6), layers * _LAYER_BYTES)
    last = [nodes[-1].outputs[0].name for nodes in segments]
    # What is fed does not cross: before the first sum a cut is as cheap as behind it.
    assert last[1:] == [f"x{i}" for i in range(layers - 1, 6, layers)][1:]


def test_a_bound_that_splits_layers_is_kept():
    segments = partition(_layers(4), _LAYER_BYTES // 2)
    assert len(segments) == 8
    for nodes in segments:
        weights = [v for node in nodes for v in node.inputs if v.is_initializer()]
        assert len(weights) == 1


def test_constants_belong_to_those_that_read_them():
    text = """(float[n, 8] x) => (float[n, 8] y) {
        t = Transpose (w) a = MatMul (x, t) b = Relu (a) c = MatMul (b, w) d = Relu (c)
        y = MatMul (d, t) }"""
    graph = ir.from_proto(model(text, {"w": normal(1, 8, 8)}))
    assert len(partition(graph, 4 * 64)) == 3


def test_one_node_that_is_nearly_all_is_no_reason_to_cut():
    graph = ir.from_proto(model(BRANCHES, {"w": normal(1, 8, 8), "v": normal(2, 8, 8)}))
    with pytest.raises(NotSegmentedError, match=r"100% of its weights stand in the one node .*If"):
        partition(graph, 300)
    with pytest.raises(NotSegmentedError, match="no more than"):
        partition(_layers(2), 1e9)


def test_segments_one_after_the_other_are_the_graph():
    graph = _layers(5)
    runtime, x = OnnxRuntime(threads=1), normal(3, 4, 8).astype(np.float32)
    wanted = runtime.session(graph).run({"x": x})["x4"]
    segments = partition(graph, 2 * _LAYER_BYTES)
    shown = [[], [], ["x4"]]
    values = {"x": x}
    for part in SegmentModels(graph, segments, shown).forward:
        for value in part.model.graph.inputs:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        feeds = {name: values[name] for name in part.inputs}
        values |= runtime.session(part.model, part.outputs).run(feeds)
        assert len(part.model.graph.initializers) <= 4
    np.testing.assert_array_equal(values["x4"], wanted)
