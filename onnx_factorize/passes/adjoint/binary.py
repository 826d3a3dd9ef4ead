"""Rules of elementwise operators of several inputs, which broadcast."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.activation import step
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


def _spread(s: Step, terms: dict[int, ir.Value]) -> Cotangents:
    """Sum each term, of the output's shape, down to its input's shape."""
    return {index: s.unbroadcast(term, s.x(index)) for index, term in terms.items()}


@rule("Add", "Sum", since=7)
def _add(s: Step) -> Cotangents:
    """x̄ᵢ = ȳ."""
    return _spread(s, {i: s.g for i in range(len(s.node.inputs)) if s.needs(i)})


@rule("Sub", since=7)
def _sub(s: Step) -> Cotangents:
    """ā = ȳ, b̄ = -ȳ."""
    terms = {0: s.unbroadcast(s.g, s.x(0))} if s.needs(0) else {}
    if s.needs(1):
        terms[1] = s.e.neg(s.unbroadcast(s.g, s.x(1)))
    return terms


@rule("Mul", since=7)
def _mul(s: Step) -> Cotangents:
    """ā = ȳ·b, b̄ = ȳ·a; a square has one product."""
    if s.x(0) is s.x(1):
        return {0: s.e.mul(s.e.mul(s.g, s.x(0)), s.scalar(2))} if s.needs(0) else {}
    return _spread(s, {i: s.e.mul(s.g, s.x(1 - i)) for i in (0, 1) if s.needs(i)})


@rule("Div", since=7)
def _div(s: Step) -> Cotangents:
    """ā = ȳ/b, b̄ = -ȳ·y/b."""
    quotient = s.e.div(s.g, s.x(1))
    terms = {0: quotient} if s.needs(0) else {}
    if s.needs(1):
        terms[1] = s.e.neg(s.e.mul(quotient, s.y))
    return _spread(s, terms)


@rule("Pow", since=7)
def _pow(s: Step) -> Cotangents:
    """ā = ȳ·b·a^(b-1), b̄ = ȳ·y·ln a (0 where a ≤ 0, as there y is no function of b)."""
    e, a, b = s.e, s.x(0), s.x(1)
    terms: dict[int, ir.Value] = {}
    if s.needs(0):
        exponent = s.array(1)
        if exponent is not None and exponent.size == 1 and float(exponent.reshape(())) == 2:
            # The constant may be a tensor of more axes than a.
            product = e.mul(s.g, e.mul(a, s.scalar(2)))
        else:
            real = b if s.facts.dtype(b) == s.dtype else e.cast(b, s.dtype)
            less = e.sub(real, s.scalar(1))
            product = e.mul(s.g, e.mul(real, e.op("Pow", a, less)))
        terms[0] = product
    if s.needs(1):
        positive = e.op("Greater", a, s.scalar(0))
        logarithm = e.op("Log", e.where(positive, a, s.scalar(1), s.dtype))
        terms[1] = e.mul(e.mul(s.g, s.y), logarithm)
    return _spread(s, terms)


@rule("Where", since=9)
def _where(s: Step) -> Cotangents:
    """ā = ȳ where the condition holds, b̄ = ȳ elsewhere."""
    e, nothing = s.e, s.scalar(0)
    terms = {}
    if s.needs(1):
        terms[1] = e.where(s.x(0), s.g, nothing, s.dtype)
    if s.needs(2):
        terms[2] = e.where(s.x(0), nothing, s.g, s.dtype)
    return _spread(s, terms)


@rule("Max", "Min")
def _extreme(s: Step) -> Cotangents:
    """x̄ᵢ = ȳ where xᵢ is the extreme, shared equally among ties."""
    e = s.e
    count = len(s.node.inputs)
    if count == 1:
        return {0: s.g}
    # 1 - (beyond): equality of floats is younger than opset 7, and x never lies beyond y.
    op_type = "Less" if s.node.op_type == "Max" else "Greater"
    hits = [e.cast(e.op("Not", e.op(op_type, s.x(i), s.y)), s.dtype) for i in range(count)]
    share = e.div(s.g, hits[0] if count == 1 else e.op("Sum", *hits))
    return _spread(s, {i: e.mul(share, hits[i]) for i in range(count) if s.needs(i)})


@rule("Mean")
def _mean(s: Step) -> Cotangents:
    """x̄ᵢ = ȳ / n."""
    count = len(s.node.inputs)
    g = s.e.mul(s.g, s.scalar(1 / count))
    return _spread(s, {i: g for i in range(count) if s.needs(i)})


@rule("Mod", since=10)
def _mod(s: Step) -> Cotangents:
    """Of a mod b: ā = ȳ, b̄ = -ȳ · (a - y) / b."""
    e = s.e
    terms = {0: s.g} if s.needs(0) else {}
    if s.needs(1):
        terms[1] = e.neg(e.mul(s.g, e.div(e.sub(s.x(0), s.y), s.x(1))))
    return _spread(s, terms)


@rule("PRelu", since=7)
def _prelu(s: Step) -> Cotangents:
    """x̄ = ȳ · (slope + (1 - slope) · [x > 0]), slope̅ = ȳ · min(x, 0)."""
    e, slope = s.e, s.x(1)
    terms = {}
    if s.needs(0):
        rise = e.mul(step(s, s.x()), e.sub(s.scalar(1), slope))
        terms[0] = e.mul(s.g, e.add(slope, rise))
    if s.needs(1):
        terms[1] = e.mul(s.g, e.negative_part(s.x(), s.dtype))
    return _spread(s, terms)
