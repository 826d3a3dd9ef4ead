"""What a model's values take, from the sizes that occur."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.runtime.footprint import UNKNOWN, Footprint, footprint_of
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

FED = 5 * 4 * 4


def _found(text, weights=None, **feeds):
    graph = ir.from_proto(model(text, weights))
    before = [value.name for value in graph.graph.outputs]
    found = footprint_of(graph, feeds or {"x": normal(1, 5, 4)}, OnnxRuntime(threads=1))
    assert [value.name for value in graph.graph.outputs] == before
    return found


def test_values_count_for_as_long_as_they_are_needed():
    text = "(float[n, 4] x) => (float[n, 4] y) { a = Neg (x) b = Neg (a) c = Neg (b) y = Neg (c) }"
    # Each lives beside the one it is made of.
    assert _found(text) == Footprint(live=2.0, every=4.0)
    # Here the first one lives to the end.
    text = (
        "(float[n, 4] x) => (float[n, 4] y) { a = Neg (x) b = Neg (a) c = Neg (b) y = Add (c, a) }"
    )
    assert _found(text) == Footprint(live=3.0, every=4.0)


def test_sizes_are_those_that_occur_and_weights_are_none():
    text = "(float[n, 4] x) => (float[n, 12] y) { h = MatMul (x, w) y = Relu (h) }"
    assert _found(text, {"w": normal(2, 4, 12)}) == Footprint(live=6.0, every=6.0)


def test_only_the_branch_that_runs_takes_anything():
    branches = (
        "then_branch = a () => (float[n, 4] t) { u = Neg (x) t = Neg (u) }, "
        "else_branch = b () => (float[n, 8] e) { e = Concat <axis = 1> (x, x) }"
    )
    text = f"(float[n, 4] x, bool c) => (float[?, ?] y) {{ y = If (c) <{branches}> }}"
    for condition, every in ((True, 3.0), (False, 4.0)):
        found = _found(text, x=normal(1, 5, 4), c=np.array(condition))
        assert found.every == pytest.approx(every * FED / (FED + 1))


def test_what_cannot_be_observed_is_taken_to_be_like_most():
    text = """(float[n, 4] x) => (float[n, 4] y) {
        s = SequenceConstruct (x, x) one = Constant <value_int = 1> () y = SequenceAt (s, one) }"""
    assert _found(text).every == 1.0
    assert _found("(float[n, 4] x) => (float[n, 4] x) { }") == UNKNOWN
