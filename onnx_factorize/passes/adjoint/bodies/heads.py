"""Heads of attention: parted, joined."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.emit import Emitter


def split(e: Emitter, x: ir.Value, count: int | None, size: int | None = None) -> ir.Value:
    """Part channels into heads, by their count or their size: (B, S, N·H) to (B, N, S, H)."""
    return e.transpose(e.reshape(x, [0, 0, count or -1, -1 if count else size or 0]), [0, 2, 1, 3])


def join(e: Emitter, x: ir.Value) -> ir.Value:
    """Join heads: (B, N, S, H) to (B, S, N·H)."""
    return e.reshape(e.op("Transpose", x, perm=[0, 2, 1, 3]), [0, 0, -1])
