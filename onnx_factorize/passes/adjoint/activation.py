"""Rules of activation functions: x̄ = ȳ · f'(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.elementwise import unary
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


@rule("Relu")
def _relu(s: Step) -> Cotangents:
    """x̄ = ȳ · [y > 0]; it reads y, so that onnxruntime can still fuse the Relu with x's node."""
    return {0: s.e.mul(s.g, step(s, s.y))}


def step(s: Step, x: ir.Value, at: float = 0.0) -> ir.Value:
    """Return [x > at]: a steep hard sigmoid is faster than a comparison and a Cast."""
    if s.dtype == ir.DataType.FLOAT:
        return s.e.op("HardSigmoid", x, alpha=1e37, beta=-1e37 * at)
    return s.e.cast(s.e.op("Greater", x, s.scalar(at)), s.dtype)


def mask(s: Step, condition: ir.Value) -> ir.Value:
    """Return the cotangent where a condition holds, zero elsewhere."""
    return s.e.mul(s.g, s.e.cast(condition, s.dtype))


def _joined(s: Step, below: ir.Value, jump: float) -> ir.Value:
    """Add [x > 0] · jump to the slope below 0 (onnxruntime's Where is several times slower)."""
    return s.e.add(below, s.e.mul(step(s, s.x()), s.scalar(jump))) if jump else below


def _below(s: Step) -> ir.Value:
    """Return min(y, 0)."""
    return s.e.negative_part(s.y, s.dtype)


@unary("Softplus")
def _softplus(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Sigmoid", x)


@unary("Softsign")
def _softsign(s: Step, _x: ir.Value) -> ir.Value:
    """1 / (1 + |x|)² = (1 - |y|)²."""
    root = s.e.sub(s.scalar(1), s.e.op("Abs", s.y))
    return s.e.mul(root, root)


@unary("LeakyRelu")
def _leaky_relu(s: Step, _x: ir.Value) -> ir.Value:
    """Alpha for x ≤ 0, else 1."""
    alpha = s.number("alpha", 0.01)
    return _joined(s, s.scalar(alpha), 1 - alpha)


@unary("Elu")
def _elu(s: Step, _x: ir.Value) -> ir.Value:
    """Alpha·exp(x) = y + alpha for x ≤ 0, else 1."""
    alpha = s.number("alpha", 1.0)
    return _joined(s, s.e.add(_below(s), s.scalar(alpha)), 1 - alpha)


@unary("Selu")
def _selu(s: Step, _x: ir.Value) -> ir.Value:
    """Gamma·alpha·exp(x) = y + gamma·alpha for x ≤ 0, else gamma."""
    alpha, gamma = s.number("alpha", 1.6732632), s.number("gamma", 1.050701)
    return _joined(s, s.e.add(_below(s), s.scalar(alpha * gamma)), gamma - alpha * gamma)


@unary("Celu")
def _celu(s: Step, _x: ir.Value) -> ir.Value:
    """Exp(x/alpha) = y/alpha + 1 for x ≤ 0, else 1."""
    return s.e.add(s.e.mul(_below(s), s.scalar(1 / s.number("alpha", 1.0))), s.scalar(1))


@rule("ThresholdedRelu")
def _thresholded_relu(s: Step) -> Cotangents:
    """x̄ = ȳ · [x > alpha]."""
    return {0: mask(s, s.e.op("Greater", s.x(), s.scalar(s.number("alpha", 1.0))))}


@rule("HardSigmoid")
def _hard_sigmoid(s: Step) -> Cotangents:
    """x̄ = alpha · ȳ · [0 < y < 1]."""
    e = s.e
    inside = e.op("And", e.op("Greater", s.y, s.scalar(0)), e.op("Less", s.y, s.scalar(1)))
    return {0: e.mul(mask(s, inside), s.scalar(s.number("alpha", 0.2)))}


@unary("HardSwish")
def _hard_swish(s: Step, x: ir.Value) -> ir.Value:
    """With y = x · h, h = min(max(x/6 + 1/2, 0), 1): h + x/6 · [-3 < x < 3]."""
    e = s.e
    gate = e.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    inside = e.sub(step(s, x, -3), step(s, x, 3))
    return e.add(gate, e.mul(e.mul(x, s.scalar(1 / 6)), inside))


@unary("Mish")
def _mish(s: Step, x: ir.Value) -> ir.Value:
    """With t = tanh(softplus(x)): t + x · (1 - t²) · sigmoid(x)."""
    e = s.e
    t = e.op("Tanh", e.op("Softplus", x))
    rest = e.mul(e.mul(x, e.op("Sigmoid", x)), e.sub(s.scalar(1), e.mul(t, t)))
    return e.add(t, rest)


@unary("Swish")
def _swish(s: Step, x: ir.Value) -> ir.Value:
    """With sigmoid = sigmoid(alpha x): sigmoid + alpha · y · (1 - sigmoid)."""
    alpha = s.number("alpha", 1.0)
    e = s.e
    gate = e.op("Sigmoid", x if alpha == 1 else e.mul(x, s.scalar(alpha)))
    rest = e.mul(s.y, e.sub(s.scalar(1), gate))
    return e.add(gate, rest if alpha == 1 else e.mul(rest, s.scalar(alpha)))


@rule("QuickGelu", domain="com.microsoft")
def _quick_gelu(s: Step) -> Cotangents:
    """As Swish, with alpha = 1.702 unless given."""
    e, alpha = s.e, s.scalar(s.number("alpha", 1.702))
    gate = e.op("Sigmoid", e.mul(s.x(), alpha))
    rest = e.mul(e.mul(s.y, e.sub(s.scalar(1), gate)), alpha)
    return {0: e.mul(s.g, e.add(gate, rest))}


def gelu_slope(s: Step, x: ir.Value, *, tanh: bool) -> ir.Value:
    """Return the derivative of x·Φ(x): Φ(x) + x·φ(x), or that of its tanh approximation."""
    e = s.e
    if not tanh:
        # Few passes over the tensor: Φ is a hard sigmoid of erf (which never reaches its bounds),
        # and φ's factor is a summand of the exponent.
        scaled = e.mul(x, s.scalar(math.sqrt(0.5)))
        cdf = e.op("HardSigmoid", e.op("Erf", scaled), alpha=0.5, beta=0.5)
        exponent = e.sub(s.scalar(-0.5 * math.log(2 * math.pi)), e.mul(scaled, scaled))
        return e.add(cdf, e.mul(x, e.op("Exp", exponent)))
    half = e.mul(x, s.scalar(0.5))
    c, k = math.sqrt(2 / math.pi), 0.044715
    square = e.mul(x, x)
    inner = e.mul(x, e.add(e.mul(square, s.scalar(c * k)), s.scalar(c)))
    t = e.op("Tanh", inner)
    slope = e.add(e.mul(square, s.scalar(3 * c * k)), s.scalar(c))
    rest = e.mul(e.mul(half, slope), e.sub(s.scalar(1), e.mul(t, t)))
    return e.add(e.mul(e.add(t, s.scalar(1)), s.scalar(0.5)), rest)


@unary("Gelu")
def _gelu(s: Step, x: ir.Value) -> ir.Value:
    return gelu_slope(s, x, tanh=s.string("approximate", "none") == "tanh")


@rule("Gelu", domain="com.microsoft")
def _contrib_gelu(s: Step) -> Cotangents:
    """x̄ = ȳ · (Φ(x) + x·φ(x))."""
    return {0: s.e.mul(s.g, gelu_slope(s, s.x(), tanh=False))}


@rule("FastGelu", domain="com.microsoft")
def _fast_gelu(s: Step) -> Cotangents:
    """As Gelu's tanh approximation, of x + bias."""
    x = s.x() if s.maybe(1) is None else s.e.add(s.x(), s.x(1))
    g = s.e.mul(s.g, gelu_slope(s, x, tanh=True))
    return {0: g, 1: s.unbroadcast(g, s.x(1)) if s.needs(1) else None}


@rule("Clip", spans={11: "bounds are attributes or inputs: it reads either"})
def _clip(s: Step) -> Cotangents:
    """x̄ = ȳ · [low ≤ x ≤ high]; the bounds are constants of the function."""
    e = s.e
    low, high = s.node.attributes.get("min"), s.node.attributes.get("max")
    bounds: Sequence[ir.Value | None] = (
        s.scalar(low.as_float()) if low is not None else s.maybe(1),
        s.scalar(high.as_float()) if high is not None else s.maybe(2),
    )
    s.refuse_gradient(1, 2)
    outside: ir.Value | None = None
    # `outside` rather than `inside`: comparisons with equality are younger than Less and Greater.
    for op_type, bound in zip(("Less", "Greater"), bounds, strict=True):
        if bound is None or _infinite(s, bound):
            continue
        beyond = e.op(op_type, s.x(), bound)
        outside = beyond if outside is None else e.op("Or", outside, beyond)
    return {0: s.g if outside is None else mask(s, e.op("Not", outside))}


def _infinite(s: Step, bound: ir.Value) -> bool:
    array = s.facts.array(bound)
    return array is not None and bool(np.all(np.abs(array.astype(np.float64)) > 3e38))
