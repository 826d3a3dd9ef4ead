"""A model that runs from where it has come to gives what it gives from the beginning."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal, run

from onnx_factorize.calibration import Batch
from onnx_factorize.factorization.incremental import IncrementalRun
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

# Declared shapes that are wrong, as exporters leave them, and a value that skips two places.
TEXT = """(float[n, 4] x, float[4] mask) => (float[n, 4] y)
    <float[7, 4] a, float[n, 4] b, float[n] c> {
    a = Mul (x, mask)
    b = Tanh (a)
    c = Add (b, w)
    d = Mul (c, a)
    y = Sub (d, w)
}"""


@pytest.fixture
def whole():
    return ir.from_proto(model(TEXT, {"w": normal(0, 4).astype(np.float32)}))


def batch(number, rows):
    feeds = {"x": normal(number, rows, 4), "mask": normal(9, 4)}
    return Batch({n: a.astype(np.float32) for n, a in feeds.items()}, rows, None, "here")


@pytest.fixture
def batches():
    return [batch(0, 3), batch(1, 5)]


def answers(model, batches):
    return [run(model, each.feeds)[0] for each in batches]


def test_it_goes_on_from_place_to_place(whole, batches):
    expected = answers(whole, batches)
    current = IncrementalRun(whole, batches, OnnxRuntime(threads=1))
    left = {"b": ["mask", "a"], "c": ["mask", "a", "b"], "y": ["mask", "d"]}
    for value, crossing in left.items():
        current.reach(value)
        # The model's own inputs stay.
        assert [each.name for each in current.model.graph.inputs] == ["x", *crossing]
        assert set(current.batches[0].feeds) == {"x", *crossing}
        for found, wanted in zip(answers(current.model, current.batches), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert {node.op_type for node in current.model.graph} == {"Sub"}


def test_what_was_passed_is_final_and_what_comes_may_change(whole, batches):
    current = IncrementalRun(whole, batches, OnnxRuntime(threads=1))
    current.reach("d")
    kept = current.batches[0].feeds["c"]
    current.reach("b")
    assert current.batches[0].feeds["c"] is kept
    (product,) = [node for node in current.model.graph if node.outputs[0].name == "d"]
    product.op_type = "Add"
    current.reach("y")
    feeds = batches[0].feeds
    a = feeds["x"] * feeds["mask"]
    np.testing.assert_allclose(current.batches[0].feeds["d"], kept + a, rtol=1e-6)


def test_it_stays_where_more_crosses_than_can_be_kept(whole, batches):
    current = IncrementalRun(whole, batches, OnnxRuntime(threads=1), most=100)
    current.reach("c")
    assert set(current.batches[0].feeds) == {"x", "mask"}
    assert whole.graph.num_nodes() == 5


@pytest.mark.parametrize(
    "body",
    [
        "s = SequenceConstruct (x, x) zero = Constant <value_int=0> () y = SequenceAt (s, zero)",
        "s = Cast <to=16> (x) y = Cast <to=1> (s)",
    ],
    ids=["sequence", "bfloat16"],
)
def test_it_stays_where_what_crosses_is_nothing_that_numpy_has(body):
    whole = ir.from_proto(model(f"(float[n, 4] x) => (float[n, 4] y) {{ {body} }}"))
    current = IncrementalRun(whole, [batch(0, 3)], OnnxRuntime(threads=1))
    current.batches[0].feeds.pop("mask")
    current.reach("y")
    assert set(current.batches[0].feeds) == {"x"}
