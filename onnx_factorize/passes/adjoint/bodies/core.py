"""Attention of heads: softmax(Q Kᵀ · scale + mask) V."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.emission.emit import Emitter

_REDUCED_BY_INPUT = 18


@dataclasses.dataclass(frozen=True)
class Attention:
    """What turns scores into attention.

    Attributes:
        scale: The factor of the scores.
        softcap: Bounds scores by c·tanh(s / c); 0 for none.
        masks: What is added to scores (B or 1, N or 1, S or 1, T), each before the softmax.
        sink: One more score for each row, whose share is lost: (N) or a scalar.
    """

    scale: float
    softcap: float = 0.0
    masks: tuple[ir.Value, ...] = ()
    sink: ir.Value | None = None

    def __call__(
        self, c: Call, q: ir.Value, k: ir.Value, v: ir.Value, counts: tuple[int, int]
    ) -> ir.Value:
        """Emit attention.

        Heads that share keys are rows of one product, so that keys and values are not repeated.

        Args:
            c: The node.
            q: Queries (B, N, S, H).
            k: Keys (B, K, T, H).
            v: Values (B, K, T, V).
            counts: N and K, of which N is a multiple.

        Returns:
            (B, N, S, V).
        """
        e, (count, groups) = c.e, counts
        shared = count > groups
        length = e.dim(q, 2)
        rows = heads.fold(e, q, groups) if shared else q
        scores = e.mul(e.matmul(rows, e.transpose(k, [0, 1, 3, 2])), c.scalar(self.scale))
        if self.softcap:
            cap = c.scalar(self.softcap)
            scores = e.mul(e.op("Tanh", e.div(scores, cap)), cap)
        for mask in self.masks:
            spread = heads.fold(e, heads.spread(e, mask, count, length), groups) if shared else mask
            scores = e.add(scores, spread)
        y = e.matmul(e.op("Softmax", scores, axis=-1), v)
        if self.sink is not None:
            y = e.mul(y, self._share(c, scores, length, counts))
        if not shared:
            return y
        return e.reshape(y, heads.shape(e, e.dim(q, 0), count, length, e.dim(v, 3)))

    def _share(
        self, c: Call, scores: ir.Value, length: ir.Value, counts: tuple[int, int]
    ) -> ir.Value:
        """What the sink leaves of each row: Σ exp(s) / (Σ exp(s) + exp(sink))."""
        e, (count, groups), sink = c.e, counts, self.sink
        assert sink is not None
        if e.opset >= _REDUCED_BY_INPUT:
            total = e.op("ReduceLogSumExp", scores, e.ints([3]), keepdims=1)
        else:
            total = e.op("ReduceLogSumExp", scores, axes=[3], keepdims=1)
        if sink.shape is not None and len(sink.shape) == 1:
            sink = heads.spread(e, e.reshape(sink, [1, count, 1, 1]), count, length)
            sink = heads.fold(e, sink, groups)
        return e.op("Sigmoid", e.sub(total, sink))


def scale_of(c: Call, size: int) -> float:
    """Return the attribute `scale`, or 1 / √H where there is none."""
    return c.number("scale", 0.0) or 1 / math.sqrt(size)


def hidden(c: Call, allowed: ir.Value, value: float | None = None) -> ir.Value:
    """Emit what is added to scores: 0 where attention is allowed, else a value, or the lowest."""
    lowest = -65504.0 if c.dtype == ir.DataType.FLOAT16 else float(np.finfo(np.float32).min)
    other = c.scalar(lowest if value is None else value)
    return c.e.where(allowed, c.scalar(0), other, c.dtype)


def not_after(e: Emitter, keys: ir.Value, queries: ir.Value) -> ir.Value:
    """Emit whether positions of keys are at or before those of queries."""
    return e.op("Not", e.op("Greater", keys, queries))
