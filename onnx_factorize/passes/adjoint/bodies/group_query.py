"""The body of GroupQueryAttention."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import core, heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body
from onnx_factorize.passes.adjoint.bodies.rotary import Rotation, counting, table_width
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError

_INTEGERS = ir.DataType.INT64
_NEVER = np.iinfo(np.int32).max  # a position that no query reaches


@body("GroupQueryAttention")
def _group_query_attention(c: Call) -> Outputs:
    """Causal attention to the cache and to what is new, with heads that share keys.

    Keys stand in the order of the buffers: the cache's, of which those that count, then the new.
    Their positions, not their places, say what hides what, so that rows of unequal length need
    nothing to be moved.
    """
    _refuse(c)
    e = c.e
    shared, counts, size = _parts(c)
    q, k, v = (
        heads.split(e, x, n) for x, n in zip(shared, (counts[0], counts[1], counts[1]), strict=True)
    )
    places = _Places.of(c, q)
    if c.integer("do_rotary", 0):
        width = table_width(c, 7)
        rotation = Rotation(c, (7, 8), interleaved=bool(c.integer("rotary_interleaved", 0)))
        at = places.rotary
        q, k = (rotation(x, at, whole=width == size) for x in (q, k))
    presents: list[ir.Value | None] = [k, v]
    if c.maybe(3) is not None:
        k, v = (heads.cached(e, c.x(i), x) for i, x in ((3, k), (4, v)))
        presents = [places.stored(c, x) if c.wants(i) else None for i, x in ((1, k), (2, v))]
        if c.integer("sliding_window_cache", 0):
            presents = []
    attend = core.Attention(
        core.scale_of(c, size), c.number("softcap", 0.0), _masks(c, places), _sink(c)
    )
    return [heads.join(e, attend(c, q, k, v, counts)), *presents]


def _refuse(c: Call) -> None:
    c.refuse_attributes(kv_cache_bit_width=0, k_quant_type="NONE", v_quant_type="NONE")
    c.refuse_inputs(k_scale=12, v_scale=13, q_norm_weight=14, k_norm_weight=15, query_seqlens=16)
    if c.maybe(10) is not None and c.maybe(3) is not None:
        raise NoRuleError("no body for an attention_bias beside a cache")


def _parts(c: Call) -> tuple[list[ir.Value], tuple[int, int], int]:
    """Return queries, keys and values (B, S, channels), the counts of their heads, and H."""
    counts = c.integer("num_heads", 0), c.integer("kv_num_heads", 0)
    packed = c.maybe(1) is None
    width, total = c.static(0, 2), counts[0] + (2 * counts[1] if packed else 0)
    if width is None:
        raise NoRuleError("the width of its queries is unknown")
    size = width // total
    if not packed:
        return [c.x(0), c.x(1), c.x(2)], counts, size
    sizes = [counts[0] * size, counts[1] * size, counts[1] * size]
    return list(c.e.split(c.x(0), sizes, 2)), counts, size


def _masks(c: Call, places: _Places) -> tuple[ir.Value, ...]:
    """Causality, a window, and what is given."""
    e, window, causal = c.e, c.integer("local_window_size", -1), c.integer("causal", 1)
    queries = e.unsqueeze(places.queries, [1, 3])
    keys = e.unsqueeze(places.keys, [1, 2])
    masks = [] if c.maybe(10) is None else [c.x(10)]
    if causal:
        allowed = core.not_after(e, keys, queries)
        if window > 0:
            nearest = e.sub(queries, e.constant(window, _INTEGERS))
            allowed = e.op("And", allowed, e.op("Greater", keys, nearest))
        masks.append(core.hidden(c, allowed))
    else:
        masks.append(core.hidden(c, e.op("Less", keys, e.unsqueeze(places.ends, [1, 2]))))
    return tuple(masks)


def _sink(c: Call) -> ir.Value | None:
    if c.maybe(11) is not None:
        return c.x(11)
    return c.scalar(0) if c.integer("smooth_softmax", 0) else None


@dataclasses.dataclass(frozen=True)
class _Places:
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
    def of(c: Call, q: ir.Value) -> _Places:
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
            return _Places(new, new, ends, _given(c, new, None), None)
        e.needs(12, "Max of integers")
        start = e.op("Max", e.sub(ends, length), e.constant(0, _INTEGERS))
        queries = e.add(start, new)
        keys = e.concat([_old(c, start), queries], 1)
        first = e.op("Equal", e.reshape(e.cast(c.x(6), _INTEGERS), [1]), length)
        return _Places(queries, keys, ends, _given(c, queries, first), start)

    def stored(self, c: Call, x: ir.Value) -> ir.Value:
        """Emit the cache that is written, (B, K, L, H), from what stands in (B, K, T, H)."""
        e, start = c.e, self.start
        assert start is not None
        capacity = e.dim(c.x(3), 2)
        total = e.op("Max", e.reshape(e.cast(c.x(6), _INTEGERS), [1]), capacity)
        places = counting(e, total)
        moved = e.add(places, e.sub(capacity, start))
        source = e.where(e.op("Less", places, start), places, moved, _INTEGERS)
        last = e.sub(e.dim(x, 2), e.constant(1, _INTEGERS))
        source = e.unsqueeze(e.op("Min", source, last), [1, 3])
        each = heads.shape(e, e.dim(x, 0), e.dim(x, 1), total, e.dim(x, 3))
        values = e.op("GatherElements", x, e.expand(source, each), axis=2)
        filled = e.cast(e.op("Less", places, self._filled(c)), c.dtype)
        return e.mul(values, e.unsqueeze(filled, [1, 3]))

    def _filled(self, c: Call) -> ir.Value:
        """How much of each row is written."""
        start = self.start
        assert start is not None
        return c.e.add(start, c.e.dim(c.x(0), 1))


def _old(c: Call, start: ir.Value) -> ir.Value:
    """Return the positions of what stands in the cache, (B, P), of which `start` were seen.

    A cache of a window lets go of G = P - W + 1 positions at once, whenever it is full.
    """
    e, capacity = c.e, c.e.dim(c.x(3), 2)
    rows, gone, one = counting(e, capacity), None, e.constant(1, _INTEGERS)
    if c.integer("sliding_window_cache", 0):
        rest = e.constant(c.integer("local_window_size", 0) - 1, _INTEGERS)
        step = e.sub(capacity, rest)
        over = e.op("Max", e.sub(start, capacity), e.constant(0, _INTEGERS))
        gone = e.mul(step, e.div(e.add(over, e.sub(step, one)), step))
    positions = rows if gone is None else e.add(rows, gone)
    never = e.constant(_NEVER, _INTEGERS)
    return e.where(e.op("Less", positions, start), positions, never, _INTEGERS)


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
