"""Rules of operators that read or write at computed positions."""

from __future__ import annotations

from onnx_factorize.passes.adjoint.movement import positions, scatter
from onnx_factorize.passes.adjoint.registry import Cotangents, NoRuleError, rule
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
    if picks is not None and picks.size == 1 and (size is not None or int(picks.reshape(())) == 0):
        pick = int(picks.reshape(()))
        pads = [0] * (2 * rank)
        row = e.unsqueeze(s.g, [axis]) if picks.ndim == 0 else s.g
        if picks.ndim > 1:
            row = e.squeeze(s.g, list(range(axis, axis + picks.ndim - 1)))
        if size is not None:
            pads[axis] = pick % size
            pads[axis + rank] = size - 1 - pick % size
            return {0: e.pad(row, pads)}
        if e.opset >= 11:
            behind = e.sub(e.dim(x, axis), e.ints([1]))
            around = [e.ints([0] * (rank + axis)), behind, e.ints([0] * (rank - axis - 1))]
            return {0: e.pad(row, e.concat([v for v in around if v.shape != (0,)], 0))}
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
    batch = {"batch_dims": s.int("batch_dims", 0)} if s.e.opset >= 12 else {}
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
    axis = {} if s.ints("axis") is None and "axis" not in s.node.attributes else {
        "axis": s.int("axis", 0)
    }
    return {0: scatter(s, e.op("Compress", positions(s, s.x()), s.x(1), **axis), s.g, s.x())}
