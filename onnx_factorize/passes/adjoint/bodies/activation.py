"""Bodies of activations with a bias."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body


@body("BiasGelu")
def _bias_gelu(c: Call) -> Outputs:
    """Y = Gelu(x + b)."""
    return [gelu(c, c.e.add(c.x(0), c.x(1)))]


def gelu(c: Call, x: ir.Value) -> ir.Value:
    """Emit x·Φ(x) = ½ x (1 + erf(x/√2))."""
    e = c.e
    if e.opset >= 20:
        return e.op("Gelu", x)
    e.needs(9, "Erf")
    inner = e.op("Erf", e.mul(x, c.scalar(math.sqrt(0.5))))
    return e.mul(e.mul(x, c.scalar(0.5)), e.add(inner, c.scalar(1)))
