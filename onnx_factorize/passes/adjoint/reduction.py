"""Rules of reductions and of cumulative sums."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule, zero
from onnx_factorize.passes.adjoint.step import Step


def reduced_axes(s: Step) -> list[int]:
    """Return the axes that a reduction sums over."""
    axes = s.axes(1, s.x())
    if axes:
        return axes
    return [] if s.integer("noop_with_empty_axes", 0) else list(range(s.rank(s.x())))


def spread(s: Step, value: ir.Value) -> ir.Value:
    """View a value of the output's shape so that it broadcasts against the input."""
    if s.integer("keepdims", 1):
        return value
    return s.e.unsqueeze(value, reduced_axes(s))


Weight = Callable[[Step], ir.Value]


def _weighted(*op_types: str) -> Callable[[Weight], Weight]:
    """Register ∂y/∂x, of x's shape, as the rule x̄ = ȳ · ∂y/∂x."""

    def register(weight: Weight) -> Weight:
        @rule(*op_types)
        def derived(s: Step) -> Cotangents:
            s.refuse_gradient(1)
            return {0: s.e.mul(spread(s, s.g), weight(s))}

        return weight

    return register


def _expanded(s: Step, g: ir.Value) -> Cotangents:
    return {0: s.e.expand(spread(s, g), s.e.shape(s.x()))}


@rule("ReduceSum")
def _sum(s: Step) -> Cotangents:
    """x̄ = ȳ, repeated."""
    return _expanded(s, s.g)


@rule("ReduceMean")
def _mean(s: Step) -> Cotangents:
    """x̄ = ȳ / n, repeated; n is known at run time only if a reduced axis is dynamic."""
    e, x = s.e, s.x()
    sizes = [s.facts.static(x, axis) for axis in reduced_axes(s)]
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes):
        count = 1
        for size in known:
            count *= size
        return _expanded(s, e.mul(s.g, s.scalar(1 / max(count, 1))))
    picked = e.op("Gather", e.shape(x), e.ints(reduced_axes(s)), axis=0)
    number = e.op("ReduceProd", e.cast(picked, s.dtype), keepdims=0)
    return _expanded(s, e.div(s.g, number))


@_weighted("ReduceMax", "ReduceMin")
def _extreme(s: Step) -> ir.Value:
    """The extreme's positions, which share ȳ equally."""
    e, x = s.e, s.x()
    beyond = "Less" if s.node.op_type == "ReduceMax" else "Greater"
    hits = e.cast(e.op("Not", e.op(beyond, x, spread(s, s.y))), s.dtype)
    return e.div(hits, e.reduce_sum(hits, reduced_axes(s), keepdims=True))


@_weighted("ReduceSumSquare")
def _sum_square(s: Step) -> ir.Value:
    """2 x."""
    return s.e.mul(s.x(), s.scalar(2))


@_weighted("ReduceL1")
def _l1(s: Step) -> ir.Value:
    """sign(x)."""
    return s.e.sign(s.x(), s.dtype)


@_weighted("ReduceL2")
def _l2(s: Step) -> ir.Value:
    """X / y, and 0 where the norm is 0."""
    e, norm = s.e, spread(s, s.y)
    positive = e.op("Greater", norm, s.scalar(0))
    return e.div(s.x(), e.where(positive, norm, s.scalar(1), s.dtype))


@_weighted("ReduceLogSum")
def _log_sum(s: Step) -> ir.Value:
    """1 / Σ x = exp(-y), of x's shape."""
    e = s.e
    return e.expand(e.op("Exp", e.neg(spread(s, s.y))), e.shape(s.x()))


@_weighted("ReduceLogSumExp")
def _log_sum_exp(s: Step) -> ir.Value:
    """exp(x - y)."""
    return s.e.op("Exp", s.e.sub(s.x(), spread(s, s.y)))


@_weighted("ReduceProd")
def _prod(s: Step) -> ir.Value:
    """Y / x (a factor of exactly zero is refused by giving no finite value)."""
    return s.e.div(spread(s, s.y), s.x())


@rule("CumSum", since=11)
def _cumsum(s: Step) -> Cotangents:
    """x̄ is the cumulative sum of ȳ from the other end."""
    backwards = 1 - s.integer("reverse", 0)
    exclusive = s.integer("exclusive", 0)
    return {0: s.e.op("CumSum", s.g, s.x(1), reverse=backwards, exclusive=exclusive)}


@rule("TopK", since=10)
def _top_k(s: Step) -> Cotangents:
    """x̄ holds ȳ at the positions chosen, zeros elsewhere."""
    e = s.e
    e.needs(11, "ScatterElements")
    axis = s.axis("axis", -1, s.x())
    zeros = e.full(e.shape(s.x()), 0.0, s.dtype)
    indices = s.node.outputs[1]
    if not indices.name:
        raise NoRuleError("its indices are not an output")
    return {0: e.op("ScatterElements", zeros, indices, s.g, axis=axis)}


zero("Bernoulli")
