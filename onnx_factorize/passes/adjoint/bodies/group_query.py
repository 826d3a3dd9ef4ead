"""The body of GroupQueryAttention."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import core, heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.places import Places
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body
from onnx_factorize.passes.adjoint.bodies.rotary import Rotation, table_width
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError

_INTEGERS = ir.DataType.INT64


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
    places = Places.of(c, q)
    if c.integer("do_rotary", 0):
        width = table_width(c, 7)
        rotation = Rotation(c, (7, 8), interleaved=bool(c.integer("rotary_interleaved", 0)))
        at = places.rotary
        q, k = (rotation(x, at, whole=width == size) for x in (q, k))
    presents: list[ir.Value | None] = [k, v]
    if c.maybe(3) is not None:
        k, v = (heads.cached(e, c.x(i), x) for i, x in ((3, k), (4, v)))
        presents = [places.stored(c, x) if c.wants(i) else None for i, x in ((1, k), (2, v))]
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


def _masks(c: Call, places: Places) -> tuple[ir.Value, ...]:
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
