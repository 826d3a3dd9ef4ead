"""A graph cut in two gives what it gave whole."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal, run

from onnx_factorize.passes import BeginAt, end_before

TEXT = """(float[n, 4] x, bool flag) => (float[n, 4] y, float[n, 4] early) {
    early = Add (x, b)
    two = Constant <value_float=2.0> ()
    four = Mul (two, two)
    a = Mul (early, four)
    c = Tanh (a)
    z = If (flag) <then_branch = yes () => (float[n, 4] t) { u = Mul (c, early) t = Add (u, b) },
                   else_branch = no () => (float[n, 4] f) { f = Identity (c) }>
    d = Sub (z, four)
    y = Mul (d, early)
}"""


@pytest.fixture
def whole():
    return ir.from_proto(model(TEXT, {"b": normal(0, 4).astype(np.float32)}))


def outputs(part, feeds):
    names = [value.name for value in part.graph.outputs]
    return dict(zip(names, run(part, feeds), strict=True))


# The value before which to cut, and what crosses there.
PLACES = {"a": {"early"}, "c": {"early", "a"}, "u": {"early", "c"}, "y": {"early", "d"}}


@pytest.mark.parametrize(("value", "crossing"), PLACES.items())
@pytest.mark.parametrize("flag", [True, False])
def test_both_parts_together_give_the_whole(whole, value, crossing, flag):
    feeds = {"x": normal(1, 3, 4).astype(np.float32), "flag": np.array(flag)}
    expected = outputs(whole, feeds)
    first, second = whole.clone(), whole.clone()
    end = end_before(first, value)
    assert {each.name for each in end.graph.outputs} == crossing
    found = outputs(end, feeds)
    types = {
        each.name: ir.TypeAndShape(ir.TensorType(ir.DataType.FLOAT), None)
        for each in end.graph.outputs
    }
    assert BeginAt(value, types)(second).modified
    # What was an output before the place is none any more.
    assert [each.name for each in second.graph.outputs] == ["y"]
    np.testing.assert_array_equal(outputs(second, feeds | found)["y"], expected["y"])


def test_constants_stay_constants(whole):
    types = {n: ir.TypeAndShape(ir.TensorType(ir.DataType.FLOAT), None) for n in ("early", "d")}
    BeginAt("y", types)(whole)
    assert not {"two", "four"} & {value.name for value in whole.graph.inputs}


def test_cut_again_and_what_nobody_reads_goes(whole):
    types = {
        n: ir.TypeAndShape(ir.TensorType(ir.DataType.FLOAT), None) for n in ("early", "a", "d")
    }
    BeginAt("c", types)(whole)
    assert [value.name for value in whole.graph.inputs] == ["x", "flag", "early", "a"]
    BeginAt("y", types)(whole)
    assert [value.name for value in whole.graph.inputs] == ["x", "flag", "early", "d"]


@pytest.mark.parametrize("value", ["early", "nothing of this name"])
def test_nothing_before_nothing_changed(whole, value):
    before = str(whole.graph)
    assert end_before(whole, value) is None
    assert not BeginAt(value, {})(whole).modified
    assert str(whole.graph) == before
