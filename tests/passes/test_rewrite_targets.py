"""Factors that are put into a model, all at once or in parts."""

from __future__ import annotations

import onnx_ir as ir
from builders import found, model, names, normal, svd_factors

from onnx_factorize.passes import RewriteTargets

TEXT = """(float[n, 12] x) => (float[n, 12] y) {
    [a] h = MatMul (x, v)
    [b] y = MatMul (h, w)
}"""
WEIGHTS = {"v": normal(1, 12, 16), "w": normal(2, 16, 12)}


def test_after_each_part_it_tells_what_was_made():
    proto = model(TEXT, WEIGHTS)
    factors = {target.name: svd_factors(target, 2) for target in found(proto)[1].targets}
    made, whole, told = ir.from_proto(proto), ir.from_proto(proto), []
    parts = ({name: each} for name, each in factors.items())
    RewriteTargets.in_parts(parts, list(factors), lambda new: told.append(names(new)))(made)
    assert told == [["v.down", "v.up"], ["w.down", "w.up"]]
    RewriteTargets(factors)(whole)
    assert ir.to_proto(made) == ir.to_proto(whole)
