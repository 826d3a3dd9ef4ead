"""Rules of normalizations and of softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


@rule("Softmax", since=1)
def _softmax_flat(s: Step) -> Cotangents:
    """x̄ = y · (ȳ - Σ ȳ·y), the sum over all axes from ``axis`` on."""
    return _softmax_over(s, list(range(s.axis("axis", 1, s.x()), s.rank(s.x()))))


@rule("Softmax", since=13)
def _softmax(s: Step) -> Cotangents:
    """x̄ = y · (ȳ - Σ ȳ·y)."""
    return _softmax_over(s, [s.axis("axis", -1, s.x())])


def _softmax_over(s: Step, axes: Sequence[int]) -> Cotangents:
    e = s.e
    if list(axes) == [s.rank(s.x()) - 1]:
        total = _attention_total(s)
        if total is not None:
            return {0: e.mul(s.y, e.sub(s.g, total))}
    weighted = e.mul(s.g, s.y)
    total = e.reduce_sum(weighted, axes, keepdims=True)
    return {0: e.sub(weighted, e.mul(s.y, total))}


def _attention_total(s: Step) -> ir.Value | None:
    """Σⱼ ȳᵢⱼ yᵢⱼ without a pass over the weights, where they multiply values: O = Y V.

    There ȳ = Ō Vᵀ, hence Σⱼ ȳᵢⱼ yᵢⱼ = Σₖ Ōᵢₖ Oᵢₖ, over the head's few channels instead of all
    positions (Dao et al. 2022, FlashAttention, section B.2).
    """
    product = s.g.producer()
    if product is None or product.op_type != "MatMul":
        return None
    rank = s.rank(s.y)
    outer, right = product.inputs
    for use in list(s.y.uses()):
        if use.node.op_type != "MatMul" or use.idx != 0 or outer is None:
            continue
        values = use.node.inputs[1]
        if s.facts.rank_or_none(values or s.y) != rank or values is None:
            continue
        # The cotangent being this one product, no other use of y contributed to it.
        if s.e.transpose(values, _swapped(rank)) is right:
            return s.e.reduce_sum(s.e.mul(outer, use.node.outputs[0]), [rank - 1], keepdims=True)
    return None


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


@rule("LogSoftmax", since=1)
def _log_softmax_flat(s: Step) -> Cotangents:
    """x̄ = ȳ - exp(y) · Σ ȳ, the sum over all axes from ``axis`` on."""
    return _log_softmax_over(s, list(range(s.axis("axis", 1, s.x()), s.rank(s.x()))))


@rule("LogSoftmax", since=13)
def _log_softmax(s: Step) -> Cotangents:
    """x̄ = ȳ - exp(y) · Σ ȳ."""
    return _log_softmax_over(s, [s.axis("axis", -1, s.x())])


def _log_softmax_over(s: Step, axes: Sequence[int]) -> Cotangents:
    e = s.e
    total = e.reduce_sum(s.g, axes, keepdims=True)
    return {0: e.sub(s.g, e.mul(e.op("Exp", s.y), total))}


def normalized(s: Step, x: ir.Value, g: ir.Value, axes: Sequence[int], epsilon: float) -> ir.Value:
    """Differentiate x̂ = (x - μ) / √(var + ε): x̄ = (ĝ - mean(ĝ) - x̂ · mean(ĝ·x̂)) / √(var + ε)."""
    e = s.e
    rank = s.facts.rank_or_none(x) or 0
    single = s.dtype == ir.DataType.FLOAT  # else the second output has another type
    if single and e.opset >= 17 and list(axes) == list(range(rank - len(axes), rank)):
        sizes = [size for axis in axes if (size := s.facts.static(x, axis)) is not None]
        if len(sizes) == len(axes):  # one fused pass gives x̂ and the inverse deviation
            ones = e.constant(np.ones(sizes), s.dtype)
            attributes = {"axis": -len(axes), "epsilon": epsilon}
            hat, _, scale = e.many("LayerNormalization", [x, ones], 3, **attributes)
            return _project(s, hat, scale, g, axes)
    centred = e.sub(x, e.reduce_mean(x, axes, keepdims=True))
    variance = e.reduce_mean(e.mul(centred, centred), axes, keepdims=True)
    scale = e.op("Reciprocal", e.op("Sqrt", e.add(variance, s.scalar(epsilon))))
    return _project(s, e.mul(centred, scale), scale, g, axes)


def _project(s: Step, hat: ir.Value, scale: ir.Value, g: ir.Value, axes: Sequence[int]) -> ir.Value:
    e = s.e
    along = e.mul(hat, e.reduce_mean(e.mul(g, hat), axes, keepdims=True))
    rest = e.sub(e.sub(g, e.reduce_mean(g, axes, keepdims=True)), along)
    return e.mul(rest, scale)


@rule("LayerNormalization")
def _layer_norm(s: Step) -> Cotangents:
    """As RMSNormalization with a mean: y = gamma·x̂ + β; gamma is a weight, without gradient."""
    s.only_first()
    x, gamma = s.x(), s.x(1)
    axes = list(range(s.axis("axis", -1, x), s.rank(x)))
    s.refuse_gradient(1)
    terms: dict[int, ir.Value] = {}
    if s.needs(0):
        g = s.e.mul(s.g, gamma)
        if s.dtype == ir.DataType.FLOAT and s.integer("stash_type", 1) == 1:
            terms[0] = _by_statistics(s, x, g, axes)
        else:
            terms[0] = normalized(s, x, g, axes, s.number("epsilon", 1e-5))
    if s.needs(2):
        terms[2] = s.unbroadcast(s.g, s.x(2))
    return terms


def _by_statistics(s: Step, x: ir.Value, g: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Differentiate by the node's own μ and r = 1/√(var + ε), which become outputs; c = x - μ.

    x̄ = ĝ·r - c · mean(ĝ·c)·r³ - mean(ĝ)·r: the factors that broadcast are of one element a row.
    """
    e = s.e
    if len(s.node.outputs) < 3:
        s.node.resize_outputs(3)
    mean, scale = s.node.outputs[1:]
    for value in (mean, scale):
        value.name = value.name or e.name()
    centred = e.sub(x, mean)
    along = e.reduce_mean(e.mul(g, centred), axes, keepdims=True)
    along = e.mul(along, e.mul(scale, e.mul(scale, scale)))
    offset = e.mul(e.reduce_mean(g, axes, keepdims=True), scale)
    return e.sub(e.sub(e.mul(g, scale), e.mul(centred, along)), offset)


@rule("RMSNormalization", since=23)
@rule("SimplifiedLayerNormalization")
@rule("SimplifiedLayerNormalization", domain="com.microsoft")
def _rms_norm(s: Step) -> Cotangents:
    """Y = gamma·x̂, x̂ = x / √(mean(x²) + ε): x̄ = (ĝ - x̂ · mean(ĝ·x̂)) / √(mean(x²) + ε)."""
    s.only_first()
    e, x = s.e, s.x()
    axes = list(range(s.axis("axis", -1, x), s.rank(x)))
    s.refuse_gradient(1)
    square = e.reduce_mean(e.mul(x, x), axes, keepdims=True)
    root = e.op("Sqrt", e.add(square, s.scalar(s.number("epsilon", 1e-5))))
    hat, g = e.div(x, root), e.mul(s.g, s.x(1))
    along = e.mul(hat, e.reduce_mean(e.mul(g, hat), axes, keepdims=True))
    return {0: e.div(e.sub(g, along), root)}


def per_channel(s: Step, vector: ir.Value, rank: int) -> ir.Value:
    """View a vector of channels so that it broadcasts against [N, C, ...]."""
    return s.e.unsqueeze(vector, list(range(1, rank - 1)))


@rule("InstanceNormalization")
def _instance_norm(s: Step) -> Cotangents:
    """As LayerNormalization over the spatial axes, with a scale by channel."""
    x = s.x()
    rank = s.rank(x)
    s.refuse_gradient(1, 2)
    g = s.e.mul(s.g, per_channel(s, s.x(1), rank))
    return {0: normalized(s, x, g, list(range(2, rank)), s.number("epsilon", 1e-5))}


@rule("GroupNormalization", since=18)
def _group_norm_scaled_by_group(s: Step) -> Cotangents:
    """As LayerNormalization by group of channels, with a scale for each group."""
    s.refuse_gradient(1, 2)
    g = s.e.mul(s.e.reshape(s.g, _groups(s)), s.e.unsqueeze(s.x(1), [1]))
    return _group_norm(s, g)


@rule("GroupNormalization", since=21)
def _group_norm_scaled_by_channel(s: Step) -> Cotangents:
    """As LayerNormalization by group of channels, with a scale for each channel."""
    s.refuse_gradient(1, 2)
    scale = per_channel(s, s.x(1), s.rank(s.x()))
    return _group_norm(s, s.e.reshape(s.e.mul(s.g, scale), _groups(s)))


def _groups(s: Step) -> list[int]:
    """The view of x by sample and group."""
    return [0, s.integer("num_groups", 1), -1]


def _group_norm(s: Step, g: ir.Value) -> Cotangents:
    e, x, view = s.e, s.x(), _groups(s)
    flat = normalized(s, e.reshape(x, view), g, [2], s.number("epsilon", 1e-5))
    return {0: e.reshape(flat, e.shape(x))}


@rule("BatchNormalization", since=7)
def _batch_norm(s: Step) -> Cotangents:
    """At inference an affine function of each channel: x̄ = ȳ · gamma / √(var + ε)."""
    if not s.integer("spatial", 1):
        raise NoRuleError("statistics of single elements")
    if s.integer("training_mode", 0) or sum(bool(v.name) for v in s.node.outputs[1:]):
        raise NoRuleError("training mode")
    s.refuse_gradient(1, 2, 3, 4)
    e = s.e
    deviation = e.op("Sqrt", e.add(s.x(4), s.scalar(s.number("epsilon", 1e-5))))
    return {0: e.mul(s.g, per_channel(s, e.div(s.x(1), deviation), s.rank(s.x())))}


@rule("MeanVarianceNormalization", since=9)
def _mean_variance_norm(s: Step) -> Cotangents:
    """x̂ with ε = 1e-9 added to the deviation: negligible, and never zero variance."""
    return {0: normalized(s, s.x(), s.g, s.integers("axes") or [0, 2, 3], 0.0)}


@rule("LpNormalization")
def _lp_norm(s: Step) -> Cotangents:
    """Y = x/‖x‖: x̄ = (ȳ - n · Σ ȳ·y) / ‖x‖, n = y for p = 2, sign(x) for p = 1."""
    e, x = s.e, s.x()
    axis = s.axis("axis", -1, x)
    order = s.integer("p", 2)
    op_type = {1: "ReduceL1", 2: "ReduceL2"}[order]
    if e.opset >= 18:
        norm = e.op(op_type, x, e.ints([axis]), keepdims=1)
    else:
        norm = e.op(op_type, x, axes=[axis], keepdims=1)
    along = e.reduce_sum(e.mul(s.g, s.y), [axis], keepdims=True)
    direction = s.y if order == 2 else e.sign(x, s.dtype)
    return {0: e.div(e.sub(s.g, e.mul(direction, along)), norm)}


@rule("LRN")
def _lrn(s: Step) -> Cotangents:
    """Y = x · d^-β, d = k + alpha/n Σ x² over n channels: x̄ = ȳ·d^-β - 2alphaβ/n · x · Σ ȳ·y/d."""
    e, x = s.e, s.x()
    if s.rank(x) != 4:
        raise NoRuleError("an input that is not an image")
    size, alpha = s.integer("size", 1), s.number("alpha", 1e-4)
    beta, bias = s.number("beta", 0.75), s.number("bias", 1.0)
    before = (size - 1) // 2

    def window(value: ir.Value, first: int, last: int) -> ir.Value:
        padded = e.pad(value, [0, first, 0, 0, 0, last, 0, 0])
        flat = e.unsqueeze(padded, [1])
        pooled = e.op("AveragePool", flat, kernel_shape=[size, 1, 1], strides=[1, 1, 1])
        return e.squeeze(pooled, [1])

    base = e.add(
        e.mul(window(e.mul(x, x), before, size - 1 - before), s.scalar(alpha)), s.scalar(bias)
    )
    inner = window(e.div(e.mul(s.g, s.y), base), size - 1 - before, before)
    direct = e.mul(s.g, e.op("Pow", base, s.scalar(-beta)))
    return {0: e.sub(direct, e.mul(e.mul(x, inner), s.scalar(2 * alpha * beta)))}
