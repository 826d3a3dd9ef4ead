"""Rules of operators that read or write at computed positions."""

from __future__ import annotations

import numpy as np

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.movement import END, around, positions, scatter
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


@rule("Gather")
def _gather(s: Step) -> Cotangents:
    """x̄ is zero but for the rows read, to which ȳ is added.

    One constant position is a slice, whose opposite is padding; else the numbers of x's elements
    are gathered as x was, and tell where each element of ȳ belongs.
    """
    e, x = s.e, s.x()
    axis, rank = s.axis("axis", 0, x), s.rank(x)
    picks = s.array(1)
    size = s.facts.static(x, axis)
    if picks is not None and picks.size == 1:
        pick = int(picks.reshape(()))
        row = e.unsqueeze(s.g, [axis]) if picks.ndim == 0 else s.g
        if picks.ndim > 1:
            row = e.squeeze(s.g, list(range(axis, axis + picks.ndim - 1)))
        before, after = [0] * axis, [0] * (rank - axis - 1)
        if size is not None:
            pick %= size
            return {0: e.pad(row, [*before, pick, *after, *before, size - 1 - pick, *after])}
        if e.opset < 11:
            return {0: around(s, row, axis, pick, END if pick == -1 else pick + 1)}
        rest = e.sub(e.dim(x, axis), e.ints([pick + 1 if pick >= 0 else -pick]))
        here = e.ints([pick if pick >= 0 else -pick - 1])
        first, last = (here, rest) if pick >= 0 else (rest, here)
        sides = [e.ints(before), first, e.ints([*after, *before]), last, e.ints(after)]
        return {0: e.pad(row, e.concat([v for v in sides if v.shape != (0,)], 0))}
    if picks is not None and picks.size == np.unique(picks).size and int(picks.min()) >= 0:
        e.needs(11, "Range and ScatterElements")
        moved = e.op("Gather", positions(s, x), s.x(1), axis=axis)
        return {0: scatter(s, moved, s.g, x, distinct=True)}
    moved = e.op("Gather", positions(s, x), s.x(1), axis=axis)
    return {0: scatter(s, moved, s.g, x)}


@rule("GatherElements", since=11)
def _gather_elements(s: Step) -> Cotangents:
    """x̄ is zero but for the elements read, to which ȳ is added."""
    moved = s.e.op("GatherElements", positions(s, s.x()), s.x(1), axis=s.axis("axis", 0, s.x()))
    return {0: scatter(s, moved, s.g, s.x())}


@rule("GatherND", since=11)
def _gather_nd(s: Step) -> Cotangents:
    """x̄ is zero but for the slices read, to which ȳ is added."""
    batch = {"batch_dims": s.integer("batch_dims", 0)} if s.e.opset >= 12 else {}
    return {0: scatter(s, s.e.op("GatherND", positions(s, s.x()), s.x(1), **batch), s.g, s.x())}


@rule("ScatterND", since=11)
def _scatter_nd(s: Step) -> Cotangents:
    """Data: ȳ with zeros where it was overwritten; updates: ȳ where they went."""
    e, indices = s.e, s.x(1)
    reduction = s.string("reduction", "none")
    if reduction not in ("none", "add"):
        raise NoRuleError(f"reduction {reduction!r}")
    written = e.op("GatherND", s.g, indices)
    if reduction == "add":
        return {0: s.g, 2: written}
    blank = e.full(e.shape(s.x(2)), 0.0, s.dtype)
    return {0: e.op("ScatterND", s.g, indices, blank), 2: written}


@rule("ScatterElements", since=11)
def _scatter_elements(s: Step) -> Cotangents:
    """As ScatterND, along one axis."""
    e, indices = s.e, s.x(1)
    axis = s.axis("axis", 0, s.x())
    reduction = s.string("reduction", "none")
    if reduction not in ("none", "add"):
        raise NoRuleError(f"reduction {reduction!r}")
    written = e.op("GatherElements", s.g, indices, axis=axis)
    if reduction == "add":
        return {0: s.g, 2: written}
    blank = e.full(e.shape(indices), 0.0, s.dtype)
    return {0: e.op("ScatterElements", s.g, indices, blank, axis=axis), 2: written}


@rule("Compress", since=9)
def _compress(s: Step) -> Cotangents:
    """x̄ is zero but for the slices kept."""
    e = s.e
    axis = (
        {}
        if s.integers("axis") is None and "axis" not in s.node.attributes
        else {"axis": s.integer("axis", 0)}
    )
    return {0: scatter(s, e.op("Compress", positions(s, s.x()), s.x(1), **axis), s.g, s.x())}
