"""Rules of unary elementwise operators: x̄ = ȳ · f'(x)."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.facts import FLOATS
from onnx_factorize.passes.adjoint.registry import Cotangents, rule, zero
from onnx_factorize.passes.adjoint.step import Step

zero(
    *[
        "And",
        "ArgMax",
        "ArgMin",
        "BitShift",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Ceil",
        "Constant",
        "ConstantOfShape",
        "Equal",
        "EyeLike",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Hardmax",
        "IsInf",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Multinomial",
        "NonMaxSuppression",
        "NonZero",
        "Not",
        "OneHot",
        "Or",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Range",
        "Round",
        "Shape",
        "Sign",
        "Size",
        "StringNormalizer",
        "TfIdfVectorizer",
        "Unique",
        "Xor",
    ]
)

Slope = Callable[[Step, ir.Value], ir.Value]


def unary(*op_types: str) -> Callable[[Slope], Slope]:
    """Register f'(x) as the rule x̄ = ȳ · f'(x)."""

    def register(slope: Slope) -> Slope:
        @rule(*op_types)
        def derived(s: Step) -> Cotangents:
            return {0: s.e.mul(s.g, slope(s, s.x()))}

        return slope

    return register


@rule("Identity")
@rule("Dropout", spans={12: "training mode became an input, which it refuses where it is on"})
def _identity(s: Step) -> Cotangents:
    """x̄ = ȳ (Dropout at inference)."""
    if s.node.op_type == "Dropout":
        training = s.array(2)
        if s.maybe(2) is not None and (training is None or training.any()):
            raise NoRuleError("training mode")
        return {0: s.only_first()}
    return {0: s.g}


@rule("Cast", "CastLike")
def _cast(s: Step) -> Cotangents:
    """x̄ = ȳ, in the type of x."""
    source = s.facts.dtype(s.x())
    if source not in FLOATS:
        raise NoRuleError("the type of its input is unknown")
    return {0: s.g if source == s.facts.dtype(s.y) else s.e.cast(s.g, source)}


@unary("Neg")
def _neg(s: Step, _x: ir.Value) -> ir.Value:
    return s.scalar(-1)


@unary("Abs")
def _abs(s: Step, x: ir.Value) -> ir.Value:
    return s.e.sign(x, s.dtype)


@unary("Exp")
def _exp(s: Step, _x: ir.Value) -> ir.Value:
    return s.y


@unary("Log")
def _log(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Reciprocal", x)


@rule("Sqrt")
def _sqrt(s: Step) -> Cotangents:
    """x̄ = ȳ / (2 y), and 0 where y = 0: there every finite model is insensitive or infinite."""
    e = s.e
    positive = e.op("Greater", s.y, s.scalar(0))
    if e.opset < 9:  # a choice by products must not meet the infinite
        safe = e.where(positive, s.y, s.scalar(1), s.dtype)
        return {0: e.mul(e.cast(positive, s.dtype), e.div(s.g, e.mul(safe, s.scalar(2))))}
    inverse = e.div(s.g, e.mul(s.y, s.scalar(2)))
    return {0: e.where(positive, inverse, s.scalar(0), s.dtype)}


@unary("Reciprocal")
def _reciprocal(s: Step, _x: ir.Value) -> ir.Value:
    return s.e.neg(s.e.mul(s.y, s.y))


@unary("Sigmoid")
def _sigmoid(s: Step, _x: ir.Value) -> ir.Value:
    return s.e.sub(s.y, s.e.mul(s.y, s.y))


@unary("Tanh")
def _tanh(s: Step, _x: ir.Value) -> ir.Value:
    return s.e.sub(s.scalar(1), s.e.mul(s.y, s.y))


@unary("Erf")
def _erf(s: Step, x: ir.Value) -> ir.Value:
    """2/√π · exp(-x²)."""
    e = s.e
    return e.mul(e.op("Exp", e.neg(e.mul(x, x))), s.scalar(2 / math.sqrt(math.pi)))


@unary("Sin")
def _sin(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Cos", x)


@unary("Cos")
def _cos(s: Step, x: ir.Value) -> ir.Value:
    return s.e.neg(s.e.op("Sin", x))


@unary("Tan")
def _tan(s: Step, _x: ir.Value) -> ir.Value:
    return s.e.add(s.e.mul(s.y, s.y), s.scalar(1))


@unary("Sinh")
def _sinh(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Cosh", x)


@unary("Cosh")
def _cosh(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Sinh", x)


def _inverse_root(s: Step, x: ir.Value, sign: int, offset: int) -> ir.Value:
    """(offset + sign · x²)^(-1/2)."""
    e = s.e
    square = e.mul(e.mul(x, x), s.scalar(sign))
    return e.op("Reciprocal", e.op("Sqrt", e.add(square, s.scalar(offset))))


@unary("Asin")
def _asin(s: Step, x: ir.Value) -> ir.Value:
    return _inverse_root(s, x, -1, 1)


@unary("Acos")
def _acos(s: Step, x: ir.Value) -> ir.Value:
    return s.e.neg(_inverse_root(s, x, -1, 1))


@unary("Asinh")
def _asinh(s: Step, x: ir.Value) -> ir.Value:
    return _inverse_root(s, x, 1, 1)


@unary("Acosh")
def _acosh(s: Step, x: ir.Value) -> ir.Value:
    return _inverse_root(s, x, 1, -1)


@unary("Atan")
def _atan(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Reciprocal", s.e.add(s.e.mul(x, x), s.scalar(1)))


@unary("Atanh")
def _atanh(s: Step, x: ir.Value) -> ir.Value:
    return s.e.op("Reciprocal", s.e.sub(s.scalar(1), s.e.mul(x, x)))
