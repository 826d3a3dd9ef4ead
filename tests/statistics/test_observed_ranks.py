"""Where inference ends, ranks come from runs of the data, and gradients are found."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from builders import found, model, normal

from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.options import Selection
from onnx_factorize.passes.adjoint.inference import RANK
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.observed_ranks import note_ranks

# A traced squeeze: what comes of it has three axes or two.
SQUEEZE = """(float[N, T, 16] x) => (float[N, 5] y) {
    a = MatMul (x, w1) c = MatMul (a, w2) s = Shape (c) i = Gather (s, one) e = Equal (i, one)
    r = If (e) < then_branch = t () => (float[P] z) { z = Squeeze (c, axis) },
                 else_branch = u () => (float[Q] k) { k = Mul (c, two) }>
    d = MatMul (r, w3) y = ReduceMean <keepdims = 0> (d, axis) }"""
THEIRS = """(float[N, 16] x) => (float[N, 5] y) {
    a = MatMul (x, w1) b = com.microsoft.QuickGelu (a) f = com.microsoft.Inverse (square)
    g = MatMul (b, f) d = MatMul (g, w2) y = MatMul (d, w3) }"""
WEIGHTS = {
    "w1": normal(1, 16, 24),
    "w2": normal(3, 24, 20),
    "w3": normal(4, 20, 5),
    "one": np.array(1),
    "axis": np.array([1]),
    "two": np.array(2, np.float32),
    "square": np.eye(24, dtype=np.float32) * 2,
}


def _graph(text: str) -> onnx.ModelProto:
    proto = model(text, WEIGHTS, opset=18)
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    for node in proto.graph.node:
        for attribute in node.attribute:
            for value in attribute.g.output:
                value.type.tensor_type.ClearField("shape")
    return proto


@pytest.mark.parametrize(("text", "shape"), [(SQUEEZE, (40, 6, 16)), (THEIRS, (40, 16))])
def test_every_target_has_a_gradient(text, shape):
    feeds = [{"x": normal(7, *shape)}]
    options = {"threads": 1, "prefer": "size", "budget": "targets=0.5"}
    report = factorize(_graph(text), feeds, **options).report
    assert not [warning for warning in report.warnings if "gradient" in warning]


def test_ranks_that_differ_are_left_unknown():
    graph, _ = found(_graph(SQUEEZE))
    lengths = (1, 6)
    for several in ((6, 6), lengths):
        feeds = [{"x": normal(7, 4, length, 16)} for length in several for _ in range(4)]
        data = open_calibration(feeds, Signature.of(graph), Selection())
        note_ranks(graph, data, OnnxRuntime())
        values = {v.name: v.meta.get(RANK) for node in graph.graph for v in node.outputs}
        if several == lengths:
            break
        assert values["r"] == 3
        for node in graph.graph:
            for value in node.outputs:
                value.meta.pop(RANK, None)
    assert values["r"] is None
