"""The bodies of MultiHeadAttention and Attention."""

from __future__ import annotations

import itertools

import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import core, heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.masks import masks
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError


@body("MultiHeadAttention")
def _multi_head_attention(c: Call) -> Outputs:
    """Attention of queries, keys and values that are given, packed or not."""
    c.refuse_inputs(past_sequence_length=8, cache_indirection=9)
    e, count = c.e, c.integer("num_heads", 0)
    q, k, v = _heads(c, count)
    if c.maybe(6) is not None:
        k, v = heads.cached(e, c.x(6), k), heads.cached(e, c.x(7), v)
    attend = core.Attention(core.scale_of(c, _size(c, count)), masks=masks(c, 4, 5, q, k))
    return [heads.join(e, attend(c, q, k, v, (count, count))), k, v]


def _size(c: Call, count: int) -> int:
    """Return the width of a query's head."""
    if c.rank(0) == 5:
        size = c.static(0, 4)
    else:
        width = c.static(0, 2)
        size = None if width is None else width // count
    if size is None:
        raise NoRuleError("the width of its queries is unknown")
    return size


def _heads(c: Call, count: int) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return queries, keys and values (B, N, length, H), biases added."""
    e = c.e
    if c.rank(0) == 5:  # (B, S, N, 3, H)
        _refuse_bias(c)
        q, k, v = (_unpacked(c, 0, i) for i in range(3))
        return q, k, v
    width = _size(c, count) * count
    bias: list[ir.Value | None] = [None] * 3
    if c.maybe(3) is not None:
        ends = [0, width, 2 * width, 2**63 - 1]
        bias = [e.slice(c.x(3), [a], [b], [0]) for a, b in itertools.pairwise(ends)]
    q = heads.split(e, _sum(c, c.x(0), bias[0]), count)
    if c.maybe(1) is None:
        raise NoRuleError("its keys are absent")
    if c.rank(1) == 5:  # (B, S, N, 2, H)
        _refuse_bias(c)
        return q, _unpacked(c, 1, 0), _unpacked(c, 1, 1)
    if c.rank(1) == 4:  # those of another sequence, as heads: the bias is in them already
        return q, c.x(1), c.x(2)
    k, v = (heads.split(e, _sum(c, c.x(i), bias[i]), count) for i in (1, 2))
    return q, k, v


def _refuse_bias(c: Call) -> None:
    if c.maybe(3) is not None:
        raise NoRuleError("no body for a bias of packed heads")


def _unpacked(c: Call, index: int, part: int) -> ir.Value:
    """Take one of the parts of a packed argument (B, S, N, parts, H): heads (B, N, S, H)."""
    one = c.e.squeeze(c.e.slice(c.x(index), [part], [part + 1], [3]), [3])
    return c.e.transpose(one, [0, 2, 1, 3])


def _sum(c: Call, x: ir.Value, bias: ir.Value | None) -> ir.Value:
    return x if bias is None else c.e.add(x, bias)


@body("Attention")
def _attention(c: Call) -> Outputs:
    """Attention of one sequence to itself, with the product that makes queries, keys and values."""
    c.refuse_attributes(do_rotary=0, past_present_share_buffer=0)
    c.refuse_inputs(past_sequence_length=6)
    e, count = c.e, c.integer("num_heads", 0)
    whole = c.static(1, 1)
    if whole is None:
        raise NoRuleError("the width of its weight is unknown")
    sizes = list(c.integers("qkv_hidden_sizes")) or [whole // 3] * 3
    made = _sum(c, e.matmul(c.x(0), c.x(1)), c.maybe(2))
    q, k, v = (heads.split(e, part, count) for part in e.split(made, sizes, 2))
    if c.maybe(4) is not None:
        old = (e.squeeze(e.slice(c.x(4), [i], [i + 1], [0]), [0]) for i in (0, 1))
        k, v = (heads.cached(e, past, new) for past, new in zip(old, (k, v), strict=True))
    present = None
    if c.wants(1):
        present = e.concat([e.unsqueeze(x, [0]) for x in (k, v)], 0)
    attend = core.Attention(core.scale_of(c, sizes[0] // count), masks=masks(c, 3, 5, q, k))
    return [heads.join(e, attend(c, q, k, v, (count, count))), present]
