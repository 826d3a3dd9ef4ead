"""Neighbours in a model of their own are those of the whole model."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal, run
from narrowed_channels import channels

from onnx_factorize.passes.narrowing import NarrowChannels, Neighbours

BLOCK = """(float[n, 3, 8, 8] x) => (float[n, 4] y) {
    [first] s = Conv (x, w0)
    [expand] h = Conv (s, w1, b1)
    r = Clip (h, low, high)
    [depthwise] d = Conv <group = 8, pads = [1, 1, 1, 1]> (r, w2)
    [project] p = Conv (d, w3)
    t = Add (s, p)
    m = GlobalAveragePool (t)
    f = Flatten (m)
    [last] y = Gemm (f, w4)
}"""
WEIGHTS = {
    "w0": normal(0, 6, 3, 1, 1),
    "w1": normal(1, 8, 6, 1, 1),
    "b1": normal(2, 8),
    "low": np.float32(0),
    "high": np.float32(6),
    "w2": normal(3, 8, 1, 3, 3),
    "w3": normal(4, 6, 8, 1, 1),
    "w4": normal(5, 6, 4),
}
FEEDS = {"x": normal(9, 2, 3, 8, 8)}


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "operators"),
    [("expand", ["s"], ["p"], 4), ("first", ["d", "x"], ["h", "y"], 7)],
)
def test_neighbours_alone_compute_what_they_do_in_the_model(name, inputs, outputs, operators):
    whole, finder = channels(model(BLOCK, WEIGHTS))
    group = next(each for each in finder.groups if each.name == name)
    found = Neighbours.of(group, whole)
    assert found is not None
    assert [value.name for value in found.inputs] == inputs
    assert [value.name for value in found.outputs] == outputs
    feeds = _values(whole, inputs)
    alone = found.alone(feeds, whole)
    assert len(list(alone.graph)) == operators
    np.testing.assert_allclose(
        run(alone, feeds)[-1], _values(whole, outputs)[outputs[-1]], rtol=1e-5, atol=1e-5
    )
    (narrow,) = found.narrowed(alone, [4])
    half = whole.clone()
    NarrowChannels({name: np.arange(4)})(half)
    sizes, wanted = (
        {n: tuple(v.const_value.shape) for n, v in each.graph.initializers.items()}
        for each in (narrow, half)
    )
    assert sizes == {n: wanted[n] for n in sizes}
    if name == "expand":  # all that it reads is as wide as it was
        run(narrow, feeds)


def test_neighbours_in_bodies_are_not_taken_apart():
    text = """(float[n, 6] x, bool c) => (float[n, 5] y) {
        y = If (c) <
            then_branch = a () => (float[n, 5] u) { [p] h = MatMul (x, w) [q] u = MatMul (h, v) },
            else_branch = b () => (float[n, 5] z) { z = MatMul (x, k) }
        >
    }"""
    weights = {"w": normal(0, 6, 8), "v": normal(1, 8, 5), "k": normal(2, 6, 5)}
    whole, finder = channels(model(text, weights))
    assert finder.groups
    assert Neighbours.of(finder.groups[0], whole) is None


def _values(whole: ir.Model, names: list[str]) -> dict[str, np.ndarray]:
    """What the whole model computes of some of its values."""
    copy = whole.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs[:] = [values[name] for name in names if name in values]
    computed = (name for name in names if name in values)
    found = dict(zip(computed, run(copy, FEEDS), strict=True))
    return {name: found.get(name, FEEDS["x"]) for name in names}
