"""Channels that stay because of the operators around them, each with its reason."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.factorization.narrowing.narrowing import find_narrowings
from onnx_factorize.passes import FindTargets, LiftWeights

TWO = """(float[n, 6] x) => (float[n, 5] y) {
    [a] h = MatMul (x, w) r = Relu (h) [b] y = MatMul (r, v) }"""

EINSUM = """(float[n, 6] x) => (float[n, 5] y) {
    [a] h = MatMul (x, w) r = Relu (h) [b] y = Einsum <equation = "nk,km->nm"> (r, v) }"""

HALVES = """(float[n, 6] x) => (float[n, 5] y) {
    [a] h = MatMul (x, w) r = Relu (h) u = Cast <to = 1> (v) [b] y = MatMul (r, u) }"""


def _refused(text, weights, left=()):
    loaded = ir.from_proto(model(text, weights))
    LiftWeights()(loaded)
    finder = FindTargets()
    finder(loaded)
    targets = [target for target in finder.targets if target.name not in left]
    found, refused = find_narrowings(loaded, targets)
    return [each.group.name for each in found], {each.name: each.reason for each in refused}


def _two(width, dtype=np.float32):
    return {"w": normal(0, 6, width), "v": normal(1, width, 5, dtype=dtype)}


def test_channels_between_two_products_may_go():
    for width in (8, 6000):  # what a wide one takes is a matter of --effort and --memory
        assert _refused(TWO, _two(width))[0] == ["a"]


@pytest.mark.parametrize(
    ("text", "weights", "left", "reason"),
    [
        (TWO, _two(3), (), "there are 3 of them"),
        (TWO, _two(8), ("a",), "'a', which computes them, is not factorized"),
        (TWO, _two(8), ("b",), "'b', which reads them, is not factorized"),
        (EINSUM, _two(8), (), "'b', which reads them, has no weight of its own to be fitted anew"),
        (
            HALVES,
            _two(8, np.float16),
            (),
            "the weight of 'b', which reads them, is stored in another type",
        ),
    ],
)  # fmt: skip
def test_what_stays_says_why(text, weights, left, reason):
    found, refused = _refused(text, weights, left)
    assert not found
    assert refused["a"] == reason
