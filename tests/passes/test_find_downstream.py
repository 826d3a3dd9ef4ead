"""What a rewritten operator changes, and what it does not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from builders import model, normal

from onnx_factorize.passes import Factors, FindDownstream, RewriteTargets

WEIGHTS = {name: normal(number, 8, 8) for number, name in enumerate("abcd")}
GRAPH = """(float[batch, 8] x, bool flag) => (float[batch, 8] y, float[batch, 8] z) {
    [first] p = MatMul (x, a)
    r = Relu (p)
    [aside] z = MatMul (x, b)
    [after] q = MatMul (r, c)
    y = If (flag) <
        then_branch = then () => (float[batch, 8] t) { [inside] t = MatMul (q, d) },
        else_branch = other () => (float[batch, 8] e) { e = Identity (z) }
    >
}"""


def _downstream(*cut):
    graph = ir.from_proto(model(GRAPH, WEIGHTS))
    factors = Factors(normal(1, 1, 8, 2).astype(np.float64), normal(2, 1, 2, 8).astype(np.float64))
    RewriteTargets(dict.fromkeys(cut, factors))(graph)
    find = FindDownstream(cut)
    find(graph)
    return find.names


def test_nothing_is_cut():
    assert _downstream() == set()


def test_it_follows_values_into_branches():
    assert _downstream("first") == {"after", "inside"}
    assert _downstream("after") == {"inside"}
    assert _downstream("aside") == set()
    assert _downstream("inside") == set()
