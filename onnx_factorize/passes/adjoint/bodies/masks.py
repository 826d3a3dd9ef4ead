"""Masks of attention as onnxruntime takes them, as what is added to scores."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import core, heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.rotary import counting
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError

_INTEGERS = ir.DataType.INT64


def masks(c: Call, given: int, bias: int, q: ir.Value, k: ir.Value) -> tuple[ir.Value, ...]:
    """Emit all that is added to scores of queries (B, N, S, H) and keys (B, N, T, H).

    Args:
        c: The node.
        given: The input that masks keys, if it is present.
        bias: The input that is a bias of scores, if it is present.
        q: Queries.
        k: Keys, those of the cache before the new ones.
    """
    found = [] if c.maybe(bias) is None else [c.x(bias)]
    if c.maybe(given) is not None:
        value = c.number("mask_filter_value", -10000.0)
        found.append(core.hidden(c, _allowed(c, given, q, k), value))
    if c.integer("unidirectional", 0):
        e = c.e
        length, total = e.dim(q, 2), e.dim(k, 2)
        last = e.add(counting(e, length), e.sub(total, length))
        keys, queries = e.unsqueeze(counting(e, total), [0, 1]), e.unsqueeze(last, [0, 3])
        found.append(core.hidden(c, core.not_after(e, keys, queries)))
    return tuple(found)


def _allowed(c: Call, given: int, q: ir.Value, k: ir.Value) -> ir.Value:
    """Emit whether keys may be attended to, (B, 1, 1 or S, T)."""
    e, mask, rank = c.e, _wide(c, given), c.rank(given)
    batch, total = e.dim(q, 0), e.dim(k, 2)
    if rank == 1:
        count, samples = c.static(given, 0), c.static(0, 0)
        if count is not None and samples is not None and count not in (samples, 2 * samples):
            raise NoRuleError(f"a mask of {count} numbers for {samples} samples")
        return _between(c, mask, batch, total)
    if rank not in (2, 3):
        raise NoRuleError(f"a mask of {rank} axes")
    # It has this shape; now that is known before it runs, too.
    rows: list[int | ir.Value] = [1] if rank == 2 else [e.dim(q, 2)]
    whole = e.reshape(mask, heads.shape(e, batch, 1, *rows, total))
    return e.op("Greater", whole, e.constant(0, _INTEGERS))


def _between(c: Call, mask: ir.Value, batch: ir.Value, total: ir.Value) -> ir.Value:
    """Emit whether keys are before the ends (B), and from the starts on in (2B): ends, starts."""
    e = c.e
    none = e.full(batch, 0.0, _INTEGERS)
    padded = e.concat([mask, none], 0)
    column = heads.shape(e, batch, 1, 1, 1)
    twice = e.add(batch, batch)
    ends = e.reshape(e.slice(padded, e.ints([0]), batch, [0]), column)
    starts = e.reshape(e.slice(padded, batch, twice, [0]), column)
    keys = e.unsqueeze(counting(e, total), [0, 1])
    return e.op("And", e.op("Less", keys, ends), core.not_after(e, starts, keys))


def _wide(c: Call, index: int) -> ir.Value:
    """Emit an input of integers as ones of 64 bits."""
    return c.e.cast(c.x(index), _INTEGERS)
