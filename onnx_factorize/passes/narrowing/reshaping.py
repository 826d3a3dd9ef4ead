"""Operators that give the same elements other axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..adjoint.dims_movement import quotient
from ..adjoint.emission.facts import Dim
from .group import Indices
from .lengths import Literal
from .operand import Operand
from .registry import rule
from .step import Step


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def reshape(step: Step) -> None:
    """Elements keep their order; axes are found again by what lies before or behind them."""
    x, y = Operand(step.node, 0), step.output()
    one, other = (x, y) if step.at == x else (y, x)
    mine, theirs = step.dims(one), step.dims(other)
    if step.node.op_type == "Squeeze" and step.input(1) is None and not step.node.attributes:
        step.block(f"{step.name} names no axes")
        return
    if step.at not in (x, y) or mine is None or theirs is None:
        step.block(f"{step.name} gives a shape that is not known")
        return
    found = _axes(mine, step.axis, step.length, theirs)
    if other == y:
        found.pop(_kinds(mine, theirs, step.length), None)
    if not found:
        step.block(f"{step.name} gives them a shape that is not read")
        return
    # Of several parts that channels are split into, those are followed that were before.
    axis = next((each for each in found if step.reached(other, each) is not None), min(found))
    length = theirs[axis]
    assert isinstance(length, int)
    step.link(other, axis, *found[axis], length)
    _count(step, *((step.axis, axis) if other == y else (axis, step.axis)))


def _axes(
    mine: Sequence[Dim], axis: int, length: int, theirs: Sequence[Dim]
) -> dict[int, tuple[Indices, Indices]]:
    """The axes of the other shape that an axis became a part of, or that are parts of it.

    Args:
        mine: The axes on one side.
        axis: One of them.
        length: Its length.
        theirs: The axes on the other.

    Returns:
        By axis of the other shape, the elements that go together: see `_merged`.
    """
    found: dict[int, tuple[Indices, Indices]] = {}
    for place, other in enumerate(theirs):
        if not isinstance(other, int) or other == 1:
            continue
        before = mine[:axis], theirs[:place]
        behind = mine[axis + 1 :], theirs[place + 1 :]
        pairs = _merged(length, other, quotient(*before), quotient(*behind))
        if pairs is None:
            swapped = _merged(other, length, quotient(*before[::-1]), quotient(*behind[::-1]))
            pairs = None if swapped is None else swapped[::-1]
        if pairs is not None:
            found[place] = pairs
    return found


def _kinds(dims: Sequence[Dim], split: Sequence[Dim], length: int) -> int:
    """The axis that parts queries, keys and values, before those of heads and of what is in one.

    Args:
        dims: Three axes or more (batch, steps, channels).
        split: The axes that they are split into.
        length: The number of channels.

    Returns:
        The axis; -1 where there is none.
    """
    for axis in range(len(split) - 2):
        pieces = [dim for dim in split[axis : axis + 3] if isinstance(dim, int) and dim > 1]
        if len(dims) > 2 and len(pieces) == 3 and math.prod(pieces) == length and pieces[0] == 3:
            return axis
    return -1


def _merged(length: int, whole: int, before: Dim, behind: Dim) -> tuple[Indices, Indices] | None:
    """Elements of an axis, and those of a longer one that it became a part of.

    Args:
        length: The length of the axis.
        whole: The length of the longer one.
        before: The product of what was before the axis, over that of what is before the other.
        behind: Likewise of what is behind.

    Returns:
        Both, shape (whole,); None where the axis did not become a part of the other.
    """
    if whole % length:
        return None
    times = whole // length
    if isinstance(before, int) and before >= 1 and times % before == 0:
        outer, inner = before, times // before
    elif isinstance(behind, int) and behind >= 1 and times % behind == 0:
        outer, inner = times // behind, behind
    else:
        return None
    if (isinstance(before, int) and before != outer) or (
        isinstance(behind, int) and behind != inner
    ):
        return None
    theirs = np.arange(whole)
    return theirs // inner % length, theirs


def _count(step: Step, source: int, axis: int) -> None:
    """The shape that a Reshape is given has the length of the channels in it, or leaves it open.

    Args:
        step: The Reshape.
        source: The channels' axis before.
        axis: Their axis behind.
    """
    if step.node.op_type != "Reshape":
        return
    shape, y = Operand(step.node, 1), step.output()
    rank = step.rank(y)
    if step.input(1) is None or rank is None:
        step.block(f"the shape of {step.name} is computed")
        return
    for place in range(rank) if not step.node.attributes.get_int("allowzero", 0) else ():
        # Zero stands for the length of the same axis of the input.
        origin = step.origin(shape, place)
        zero = isinstance(origin, Literal) and origin.number == 0
        if zero and (place == source) != (place == axis):
            step.block(f"the shape of {step.name} counts them in two places")
            return
    step.counts(shape, axis, y, axis)


@rule("Expand")
def expand(step: Step) -> None:
    """Axes are the same, counted from the last; the shape may say how long they are."""
    x, y, shape = Operand(step.node, 0), step.output(), Operand(step.node, 1)
    ranks = step.rank(x), step.rank(y)
    numbers = step.dims(shape)
    if ranks[0] is None or ranks[1] is None or step.at == shape or numbers is None:
        step.unknown(step.at)
        return
    more = ranks[1] - ranks[0]
    axis = step.axis + more if step.at == x else step.axis
    if step.at == x:
        step.same(y, axis)
    elif axis >= more:
        dims = step.dims(x)
        assert dims is not None
        if dims[axis - more] != 1:
            step.same(x, axis - more)
    place = axis - ranks[1] + int(str(numbers[0])) if isinstance(numbers[0], int) else -1
    if not isinstance(numbers[0], int):
        step.block(f"the shape of {step.name} is computed")
    elif place >= 0:
        step.counts(shape, place, y, axis)


@rule("ConstantOfShape")
def constant_of_shape(step: Step) -> None:
    """All elements are alike."""
    if step.at.output:
        step.counts(Operand(step.node, 0), step.axis, step.at, step.axis)
    else:
        step.mixes()


@rule("Shape")
def shape(step: Step) -> None:
    """Lengths are read; they may become lengths again, and nothing else."""
    attributes = step.node.attributes
    rank = step.rank(step.at)
    if rank is None or not 0 <= attributes.get_int("start", 0) <= rank:
        step.unknown(step.at)
        return
    start, end = attributes.get_int("start", 0), attributes.get_int("end", rank)
    if start <= step.axis < (end if end >= 0 else end + rank):
        step.counted(step.node.outputs[0], step.axis - start)
