"""Positions of the queries and keys of GroupQueryAttention, and of what its cache holds."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.rotary import counting

_INTEGERS = ir.DataType.INT64
_NEVER = np.iinfo(np.int32).max  # a position that no query reaches


@dataclasses.dataclass(frozen=True)
class Places:
    """Positions of queries and keys.

    Attributes:
        queries: Of queries, (B or 1, S).
        keys: Of keys, as they stand, (B or 1, T).
        ends: How many positions there are, (B, 1).
        rotary: The angles' of what is new, (B or 1, S).
        start: How much of the cache counts, (B, 1); None without one.
    """

    queries: ir.Value
    keys: ir.Value
    ends: ir.Value
    rotary: ir.Value
    start: ir.Value | None

    @staticmethod
    def of(c: Call, q: ir.Value) -> Places:
        """Emit the positions of a node with queries (B, N, S, H).

        `seqlens_k` holds the last position of each row. Where that is before the end of what is
        new, this is a first prompt, padded on the right.
        """
        e = c.e
        length = e.dim(q, 2)
        new = counting(e, length)
        one = e.constant(1, _INTEGERS)
        ends = e.add(e.reshape(e.cast(c.x(5), _INTEGERS), heads.shape(e, e.dim(q, 0), 1)), one)
        if c.maybe(3) is None:
            return Places(new, new, ends, _given(c, new, None), None)
        e.needs(12, "Max of integers")
        start = e.op("Max", e.sub(ends, length), e.constant(0, _INTEGERS))
        queries = e.add(start, new)
        keys = e.concat([_old(c, start), queries], 1)
        first = e.op("Equal", e.reshape(e.cast(c.x(6), _INTEGERS), [1]), length)
        return Places(queries, keys, ends, _given(c, queries, first), start)

    def stored(self, c: Call, x: ir.Value) -> ir.Value:
        """Emit the cache that is written, (B, K, L, H), from what stands in (B, K, T, H).

        Rows that are not written are zero.
        """
        e, start = c.e, self.start
        assert start is not None
        capacity, end = e.dim(c.x(3), 2), e.add(start, e.dim(c.x(0), 1))
        total = e.op("Max", e.reshape(e.cast(c.x(6), _INTEGERS), [1]), capacity)
        if _is_window(c):
            total, end = capacity, self.ends
        positions = e.add(counting(e, total), _gone(c, self.ends))
        old = e.sub(positions, _gone(c, start))
        new = e.add(positions, e.sub(capacity, start))
        source = e.where(e.op("Less", positions, start), old, new, _INTEGERS)
        last = e.sub(e.dim(x, 2), e.constant(1, _INTEGERS))
        source = e.unsqueeze(e.op("Min", source, last), [1, 3])
        each = heads.shape(e, e.dim(x, 0), e.dim(x, 1), total, e.dim(x, 3))
        values = e.op("GatherElements", x, e.expand(source, each), axis=2)
        filled = e.cast(e.op("Less", positions, end), c.dtype)
        return e.mul(values, e.unsqueeze(filled, [1, 3]))


def _old(c: Call, start: ir.Value) -> ir.Value:
    """Return the positions of what stands in the cache, (B, P), of which `start` were seen."""
    e = c.e
    positions = e.add(counting(e, e.dim(c.x(3), 2)), _gone(c, start))
    never = e.constant(_NEVER, _INTEGERS)
    return e.where(e.op("Less", positions, start), positions, never, _INTEGERS)


def _is_window(c: Call) -> bool:
    """Tell whether the cache holds a window of the positions."""
    return bool(c.integer("sliding_window_cache", 0))


def _gone(c: Call, seen: ir.Value) -> ir.Value:
    """Return how many positions a cache has let go of, of those seen, (B, 1).

    A cache of a window W lets go of G = C - W + 1 at once, whenever its C rows are full.
    """
    e, zero, one = c.e, c.e.constant(0, _INTEGERS), c.e.constant(1, _INTEGERS)
    if not _is_window(c):
        return zero
    capacity = e.dim(c.x(3), 2)
    step = e.sub(capacity, e.constant(c.integer("local_window_size", 0) - 1, _INTEGERS))
    over = e.op("Max", e.sub(seen, capacity), zero)
    return e.mul(step, e.div(e.add(over, e.sub(step, one)), step))


def _given(c: Call, usual: ir.Value, first: ir.Value | None) -> ir.Value:
    """Return the positions of angles: those given, of which a first prompt takes the first only."""
    if c.maybe(9) is None:
        return usual
    e = c.e
    begin = e.slice(e.reshape(c.x(9), [-1]), [0], [1], [0])
    counted = e.add(counting(e, e.dim(c.x(0), 1)), begin)
    if first is None:
        return counted
    return e.where(first, counted, c.x(9), _INTEGERS)
