"""Dimension tokens of reshapes and slices, and of the ranges that masks are gathered by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from onnx_factorize.passes.adjoint.contents import integer, integers
from onnx_factorize.passes.adjoint.emission.facts import Dim, Facts

Dims = tuple[Dim, ...]


def reshape(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    """Return the shape of a Reshape's output."""
    dims = known[0]
    target = facts.ints.get(node.inputs[1]) if node.inputs[1] is not None else None
    assert dims is not None
    if target is None:
        length = known[1][0] if known[1] is not None else None
        return tuple(facts.fresh() for _ in range(length)) if isinstance(length, int) else None
    if not integer(node, "allowzero", 0):
        target = tuple(
            dims[i] if dim == 0 and i < len(dims) else dim for i, dim in enumerate(target)
        )
    if -1 not in target:
        return target
    hole = target.index(-1)
    rest = quotient(dims, (*target[:hole], *target[hole + 1 :]))
    return (*target[:hole], rest, *target[hole + 1 :])


def quotient(numerator: Sequence[Dim], denominator: Sequence[Dim]) -> Dim:
    """Return the product of dimensions over another, cancelled and in one normal form."""
    above = math.prod(dim for dim in numerator if isinstance(dim, int))
    below = math.prod(dim for dim in denominator if isinstance(dim, int))
    up = [dim for dim in numerator if not isinstance(dim, int)]
    down: list[Dim] = []
    for dim in denominator:
        if isinstance(dim, int):
            continue
        if dim in up:
            up.remove(dim)
        else:
            down.append(dim)
    divisor = math.gcd(above, below) or 1
    above, below = above // divisor, below // divisor
    if not up and not down and below == 1:
        return above
    if len(up) == 1 and not down and above == below == 1:
        return up[0]
    return ("quotient", above, below, tuple(sorted(up, key=repr)), tuple(sorted(down, key=repr)))


def slice_(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    """Return the shape of a Slice's output."""
    dims = known[0]
    assert dims is not None
    unknown = tuple(facts.fresh() for _ in dims)
    if "starts" in node.attributes:
        starts, ends = integers(node, "starts", ()), integers(node, "ends", ())
        axes, steps = integers(node, "axes", range(len(starts))), [1] * len(starts)
    else:
        inputs = [facts.ints.get(v) if v is not None else () for v in node.inputs[1:]]
        lists = [[i for i in v or () if isinstance(i, int)] for v in inputs]
        if any(v is None or len(v) != len(w) for v, w in zip(inputs, lists, strict=True)):
            return unknown
        starts, ends = lists[0], lists[1]
        axes = lists[2] if len(lists) > 2 and lists[2] else range(len(starts))
        steps = lists[3] if len(lists) > 3 and lists[3] else [1] * len(starts)
    result = list(dims)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        dim = dims[axis]
        if isinstance(dim, int):
            result[axis] = len(range(*slice(start, end, step).indices(dim)))
        elif (start, step) != (0, 1) or end < 2**31 - 1:
            result[axis] = facts.fresh()
    return tuple(result)


def range_(node: ir.Node, _known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    """Return the shape of a Range that counts up to a dimension."""
    start, limit, step = (facts.ints.get(v) if v is not None else None for v in node.inputs)
    if (start, step) != ((0,), (1,)) or limit is None:
        return None
    # A negative limit, which only a constant can be, is left to onnx's inference.
    return None if isinstance(limit[0], int) else limit


def gather_nd(node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    """Return the shape of a GatherND's output: a slice of the data for each index vector."""
    data, indices = known
    if data is None or indices is None or not isinstance(indices[-1], int):
        return None
    return (*indices[:-1], *data[integer(node, "batch_dims", 0) + indices[-1] :])
