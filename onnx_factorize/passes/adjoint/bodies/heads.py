"""Heads of attention: parted, joined, gathered to groups that share keys."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.emit import Emitter


def shape(e: Emitter, *parts: int | ir.Value) -> ir.Value:
    """Emit a shape from lengths: numbers, or vectors of one element."""
    return e.concat([e.ints([p]) if isinstance(p, int) else p for p in parts], 0)


def split(e: Emitter, x: ir.Value, count: int | None, size: int | None = None) -> ir.Value:
    """Part channels into heads, by their count or their size: (B, S, N·H) to (B, N, S, H)."""
    return e.transpose(e.reshape(x, [0, 0, count or -1, -1 if count else size or 0]), [0, 2, 1, 3])


def join(e: Emitter, x: ir.Value) -> ir.Value:
    """Join heads: (B, N, S, H) to (B, S, N·H)."""
    return e.reshape(e.op("Transpose", x, perm=[0, 2, 1, 3]), [0, 0, -1])


def fold(e: Emitter, x: ir.Value, groups: int) -> ir.Value:
    """Join the rows of heads that share keys: (B, K·G, S, …) to (B, K, G·S, …)."""
    return e.reshape(x, shape(e, e.dim(x, 0), groups, -1, e.dim(x, 3)))


def spread(e: Emitter, x: ir.Value, count: int, length: ir.Value) -> ir.Value:
    """Repeat what counts for all heads, or rows: (B, 1 or N, 1 or S, T) to (B, N, S, T)."""
    return e.expand(x, shape(e, 1, count, length, 1))


def cached(e: Emitter, past: ir.Value, new: ir.Value) -> ir.Value:
    """Emit keys (or values) of a cache (B, N, P, H) and new ones (B, N, S, H) behind them.

    The cache has the new ones' lengths but for its own; now that is known before it runs, too.
    """
    whole = shape(e, e.dim(new, 0), e.dim(new, 1), e.dim(past, 2), e.dim(new, 3))
    return e.concat([e.reshape(past, whole), new], 2)
