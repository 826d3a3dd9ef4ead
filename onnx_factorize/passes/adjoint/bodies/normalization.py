"""Bodies of normalizations of a sum."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body


@body("SkipLayerNormalization")
def _skip_layer_norm(c: Call) -> Outputs:
    """Y = LayerNormalization(s), s = x + skip + bias, which is the fourth output."""
    total = _sum(c, c.maybe(4))
    epsilon = c.number("epsilon", 1e-12)
    inputs = [total, c.x(2), *([] if c.maybe(3) is None else [c.x(3)])]
    # onnxruntime has the operator at any opset.
    (y,) = c.e.fresh("LayerNormalization", inputs, {"axis": -1, "epsilon": epsilon})
    return [y, None, None, total]


@body("SkipSimplifiedLayerNormalization")
def _skip_rms_norm(c: Call) -> Outputs:
    """Y = gamma · s / √(mean(s²) + ε), s = x + skip + bias, which is the fourth output."""
    total = _sum(c, c.maybe(3))
    epsilon = c.number("epsilon", 1e-12)
    attributes = {"axis": -1, "epsilon": epsilon}
    (y,) = c.e.fresh("SimplifiedLayerNormalization", [total, c.x(2)], attributes)
    return [y, None, None, total]


def _sum(c: Call, bias: ir.Value | None) -> ir.Value:
    total = c.e.add(c.x(0), c.x(1))
    return total if bias is None else c.e.add(total, bias)
