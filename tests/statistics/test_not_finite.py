"""What is not finite in the dense model itself, at single targets, ends no run."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from builders import model, normal

from onnx_factorize import factorize

FAST = {"threads": 1, "prefer": "size", "budget": "targets=0.5"}
WEIGHTS = {"w1": normal(1, 24, 32) / 5, "w2": normal(2, 32, 16) / 6, "w3": normal(3, 16, 8) / 4}

# Numbers come back as they were, but their gradients are multiplied by 1e40 on the way.
GRADIENT = """(float[n, 24] x) => (float[n, 8] y) {
    a = MatMul (x, w1)
    a1 = Mul (a, small)
    a2 = Mul (a1, small)
    a3 = Mul (a2, large)
    a4 = Mul (a3, large)
    d = MatMul (a4, w2)
    e = Tanh (d)
    y = MatMul (e, w3)
}"""

# Overflow that a saturating function brings back into range.
ACTIVATION = """(float[n, 24] x) => (float[n, 8] y) {
    a = MatMul (x, w1)
    g = Exp (a)
    big = Constant <value_float = 3e38> ()
    h = Mul (g, big)
    d = MatMul (h, positive)
    e = Tanh (d)
    o = MatMul (a, w2)
    f = MatMul (x, w4)
    k = Sum (e, o, f)
    y = MatMul (k, w3)
}"""


def layers(text, **options):
    more = {"positive": np.abs(WEIGHTS["w2"]), "w4": normal(5, 24, 16) / 5}
    # No scalars: onnxruntime would multiply those first.
    scales = {n: np.full(32, f, np.float32) for n, f in (("small", 1e-20), ("large", 1e20))}
    proto = model(text, WEIGHTS | more | scales, opset=17)
    report = factorize(proto, {"x": normal(4, 96, 24)}, **FAST | options).report
    assert math.isfinite(report.divergence["holdout"])
    return report, {layer.name: layer for layer in report.layers}


def test_a_gradient_that_is_not_finite_is_none():
    report, found = layers(GRADIENT)
    first, second, third = found.values()
    assert "its gradient is not finite on calibration" in first.reason
    assert second.reason is None or "gradient" not in second.reason
    assert third.reason is None or "gradient" not in third.reason
    assert any("1 of the operators have no gradient" in warning for warning in report.warnings)


@pytest.mark.parametrize("weighting", ["fisher", "activation", "diagonal"])
def test_a_target_with_activations_that_are_not_finite_stays_dense(weighting):
    report, found = layers(ACTIVATION, weighting=weighting)
    spoilt = found["MatMul_d"]
    assert spoilt.status == "kept"
    assert spoilt.reason.startswith("activations are not finite on calibration")
    assert not any("never ran" in warning for warning in report.warnings)
    assert sum(layer.status == "factorized" for layer in found.values())


def test_half_precision_is_summed_in_single():
    """What is finite in float16 has squares that are not, and sums that are not sooner."""
    text = """(float16[n, 24] x) => (float16[n, 8] y) {
        [a] h = MatMul (x, w1) r = Relu (h) [b] k = MatMul (r, w2) [c] y = MatMul (k, w3)
    }"""
    half = model(text, {name: w.astype(np.float16) for name, w in WEIGHTS.items()})
    data = {"x": (40 * normal(4, 96, 24)).astype(np.float16)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        report = factorize(half, data, **FAST).report
    assert not any(layer.reason and "finite" in layer.reason for layer in report.layers)
    assert math.isfinite(report.divergence["holdout"])
