"""Rules of pooling."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.convolution import Window, scattered, window
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.movement import scatter
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


@rule("GlobalAveragePool")
def _global_average(s: Step) -> Cotangents:
    """x̄ = ȳ / n, repeated over the image."""
    e, x = s.e, s.x()
    spatial = range(2, s.rank(x))
    sizes = [size for i in spatial if (size := s.facts.static(x, i)) is not None]
    shape = e.shape(x)
    if len(sizes) == len(spatial):
        g = e.mul(s.g, s.scalar(1 / max(math.prod(sizes), 1)))
    else:
        picked = e.cast(e.op("Gather", shape, e.ints(list(spatial)), axis=0), s.dtype)
        g = e.div(s.g, e.op("ReduceProd", picked, keepdims=0))
    return {0: e.expand(g, shape)}


@rule("GlobalMaxPool")
def _global_max(s: Step) -> Cotangents:
    """x̄ = ȳ at the maximum, shared among ties."""
    e, x = s.e, s.x()
    hits = e.cast(e.op("Not", e.op("Less", x, s.y)), s.dtype)
    count = e.reduce_sum(hits, list(range(2, s.rank(x))), keepdims=True)
    return {0: e.mul(hits, e.div(s.g, count))}


@rule("MaxPool")
def _max_pool(s: Step) -> Cotangents:
    """x̄ is ȳ at each window's maximum (the first of ties), added where windows overlap.

    The positions are MaxPool's second output, of a copy of the node, so that the primal keeps
    its fast layout.
    """
    e, x = s.e, s.x()
    s.only_first()
    w = window(s, s.integers("kernel_shape") or [], x)
    if e.opset < 11:
        return {0: _by_comparison(s, w)}
    attributes = {name: attr.value for name, attr in s.node.attributes.items()}
    attributes["storage_order"] = 0
    indices = e.many("MaxPool", [x], 2, **attributes)[1]
    if e.opset >= 16:
        return {0: scatter(s, indices, s.g, x)}
    return {0: _scatter_by_phase(s, indices, w)}


def _by_comparison(s: Step, w: Window) -> ir.Value:
    """Without positions: a window's elements beside each other, by a Conv with a kernel for each.

    Those that equal the maximum share the cotangent.
    """
    e, x = s.e, s.x()
    rank, count = s.rank(x), math.prod(w.kernel)
    if s.integer("ceil_mode", 0) or None in w.before:
        raise NoRuleError("ceil_mode, or automatic padding of a dynamic size, needs opset 11")
    spatial = len(w.kernel)
    padded = x
    if any(w.pads):
        pads = [0, 0, *w.pads[:spatial], 0, 0, *w.pads[spatial:]]
        padded = e.op("Pad", x, pads=pads, value=float(np.finfo(s.dtype.numpy()).min))
    one_by_one = e.constant(np.eye(count).reshape(count, 1, *w.kernel), s.dtype)
    picked = e.op(
        "Conv",
        _by_channel(s, padded, rank),
        one_by_one,
        kernel_shape=w.kernel,
        strides=w.strides,
        dilations=w.dilations,
    )
    y, g = _by_channel(s, s.y, rank), e.reshape(s.g, _channel_shape(s, s.y, rank))
    hits = e.cast(e.op("Not", e.op("Less", picked, y)), s.dtype)
    shares = e.mul(hits, e.div(g, e.reduce_sum(hits, [1], keepdims=True)))
    return e.reshape(scattered(s, shares, one_by_one, w), e.shape(x))


def _by_channel(s: Step, value: ir.Value, rank: int) -> ir.Value:
    return s.e.reshape(value, _channel_shape(s, value, rank))


def _channel_shape(s: Step, value: ir.Value, rank: int) -> ir.Value:
    """The shape of a value's channels as images of one channel."""
    e = s.e
    return e.concat([e.ints([-1, 1]), e.slice(e.shape(value), [2], [rank], [0])], 0)


def _scatter_by_phase(s: Step, indices: ir.Value, w: Window) -> ir.Value:
    """Scatter without addition, once for each set of windows that do not overlap."""
    e, x = s.e, s.x()
    counts = [-(-(r + 1) // stride) for r, stride in zip(w.reach, w.strides, strict=True)]
    axes = list(range(2, 2 + len(counts)))
    zeros = e.full(e.reshape(e.op("Size", x), [1]), 0.0, s.dtype)
    parts = []
    for phase in np.ndindex(*counts):
        starts, ends = [int(p) for p in phase], [np.iinfo(np.int64).max] * len(axes)
        picked, g = (
            e.reshape(v if max(counts) == 1 else e.slice(v, starts, ends, axes, counts), [-1])
            for v in (indices, s.g)
        )
        parts.append(e.op("ScatterElements", zeros, picked, g, axis=0))
    return e.reshape(e.total(parts), e.shape(x))


@rule("AveragePool", since=7)
def _average_pool(s: Step) -> Cotangents:
    """x̄ is ȳ / n spread over each window: a transposed convolution with ones, channel by channel.

    n counts the window's elements, without padding unless ``count_include_pad``.
    """
    e, x = s.e, s.x()
    kernel = s.integers("kernel_shape") or []
    w = window(s, kernel, x)
    if s.integer("ceil_mode", 0):
        raise NoRuleError("ceil_mode")
    g = s.g
    padded = any(w.pads) or None in w.before
    if padded and not s.integer("count_include_pad", 0):
        ones = e.full(e.shape(x), 1.0, s.dtype)
        attributes = {name: attr.value for name, attr in s.node.attributes.items()}
        share = e.op("AveragePool", ones, **{**attributes, "count_include_pad": 1})
        g = e.div(g, share)
    columns = e.reshape(g, _channel_shape(s, s.y, s.rank(x)))
    weight = e.constant(np.full([1, 1, *kernel], 1 / math.prod(kernel)), s.dtype)
    flat: ir.Value
    if all(stride == 1 for stride in w.strides):
        pads = [r - p for r, p in zip(w.reach * 2, w.pads, strict=True)]
        flat = e.op("Conv", columns, weight, kernel_shape=kernel, dilations=w.dilations, pads=pads)
    else:
        flat = scattered(s, columns, weight, w)
    return {0: e.reshape(flat, e.shape(x))}
