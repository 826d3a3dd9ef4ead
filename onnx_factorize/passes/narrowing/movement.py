"""Operators that move values: Transpose, Reshape, Concat and their like."""

from __future__ import annotations

import numpy as np

from ..adjoint.dims_movement import quotient
from ..adjoint.facts import Dim
from .elementwise import first
from .mends import MendInteger
from .operand import Operand, Use
from .registry import rule
from .step import Step


@rule("Transpose")
def transpose(step: Step) -> None:
    """Axes change places."""
    x, y = Operand(step.node, 0), step.output()
    rank = step.rank(step.at)
    if rank is None:
        step.block(f"nothing is known of the shape of '{step.at.value.name}' ({step.name})")
        return
    perm = list(step.node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    if step.at == x:
        step.same(y, perm.index(step.axis))
    else:
        step.same(x, perm[step.axis])


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def reshape(step: Step) -> None:
    """Elements keep their order; axes are found again by what lies before or behind them."""
    x, y = Operand(step.node, 0), step.output()
    one, other = (x, y) if step.at == x else (y, x)
    mine, theirs = step.dims(one), step.dims(other)
    if step.at not in (x, y) or mine is None or theirs is None:
        step.block(f"{step.name} gives a shape that is not known")
        return
    for axis, length in enumerate(theirs):
        if not isinstance(length, int) or length == 1:
            continue
        before = quotient(mine[: step.axis], theirs[:axis])
        behind = quotient(mine[step.axis + 1 :], theirs[axis + 1 :])
        pairs = _merged(step.length, length, before, behind)
        if pairs is None:
            swapped = _merged(
                length,
                step.length,
                quotient(theirs[:axis], mine[: step.axis]),
                quotient(theirs[axis + 1 :], mine[step.axis + 1 :]),
            )
            pairs = swapped if swapped is None else (swapped[1], swapped[0])
        if pairs is not None:
            step.link(other, axis, *pairs, length)
            _mend(step, y, axis if other == y else step.axis)
            return
    step.block(f"{step.name} gives them a shape that is not read")


def _merged(
    length: int, whole: int, before: Dim, behind: Dim
) -> tuple[np.ndarray, np.ndarray] | None:
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
    if isinstance(before, int) and before >= 1 and not whole // length % before:
        outer = before
        inner = whole // length // outer
    elif isinstance(behind, int) and behind >= 1 and not whole // length % behind:
        inner = behind
        outer = whole // length // inner
    else:
        return None
    if isinstance(before, int) and before != outer:
        return None
    if isinstance(behind, int) and behind != inner:
        return None
    theirs = np.arange(whole)
    return theirs // inner % length, theirs


def _mend(step: Step, y: Operand, axis: int) -> None:
    """The shape that a Reshape is given has the length of the channels in it, or leaves it open."""
    if step.node.op_type != "Reshape":
        return
    shape = step.integers(1)
    found = step.reached(y, axis)
    if shape is None or len(shape) != step.rank(y):
        known = step.facts.ints.get(step.node.inputs[1]) if step.node.inputs[1] else None
        if known is None or known[axis] != -1:
            step.block(f"the shape of {step.name} is computed")
    elif shape[axis] > 0 and found is not None:
        step.mend(MendInteger(Use(step.node, 1), axis, found))


@rule("Concat")
def concat(step: Step) -> None:
    """Values lie behind one another along one axis."""
    y = step.output()
    dims = step.dims(y)
    if dims is None:
        step.block(f"nothing is known of the shape of '{y.value.name}' ({step.name})")
        return
    axis = step.node.attributes.get_int("axis", 1) % len(dims)
    if step.axis != axis:
        for operand in step.operands:
            if operand != step.at:
                step.same(operand, step.axis)
        return
    parts = [step.dims(part) for part in step.inputs]
    lengths = [part[axis] if part is not None else None for part in parts]
    known = [length for length in lengths if isinstance(length, int)]
    if len(known) < len(lengths):
        step.block(f"the lengths of what {step.name} joins are not known")
        return
    offset = 0
    for part, length in zip(step.inputs, known, strict=True):
        there = offset + np.arange(length)
        if step.at == y:
            step.link(part, axis, there, np.arange(length), length)
        elif step.at == part:
            step.link(y, axis, np.arange(length), there, sum(known))
        offset += length


@rule("Pad")
def pad(step: Step) -> None:
    """Other axes are padded."""
    rank = step.rank(step.at)
    x, y = step.input(0), step.output()
    if rank is None or step.at not in (x, y):
        step.block(f"nothing is known of the shape of '{step.at.value.name}' ({step.name})")
        return
    pads, axes = list(step.node.attributes.get_ints("pads", ())), step.integers(3)
    found = pads or step.integers(1)
    if found is None or axes is None or not found:
        step.block(f"what {step.name} pads is not constant")
        return
    padded = [axis % rank for axis in axes] if axes else list(range(rank))
    if any(found[i] or found[i + len(padded)] for i, a in enumerate(padded) if a == step.axis):
        step.block(f"{step.name} pads them")
    else:
        step.same(y if step.at == x else x, step.axis)


@rule("Resize", "Upsample")
def resize(step: Step) -> None:
    """Axes that keep their length are not resized."""
    x, y = step.input(0), step.output()
    other = y if step.at == x else x
    if step.at not in (x, y) or other is None:
        step.mixes()
        return
    dims = step.dims(other)
    if dims is None or dims[step.axis] != step.length:
        step.block(f"{step.name} may resize them")
        return
    sizes = step.input(3)
    step.same(other, step.axis)
    if sizes is None:
        return
    found, axis = step.integers(3), step.reached(y, step.axis)
    axes = step.node.attributes.get_ints("axes", ())
    if found is None or axes:
        step.block(f"the sizes of {step.name} are computed")
    elif axis is not None and found:
        step.mend(MendInteger(Use(step.node, 3), step.axis, axis))


@rule("Shape")
def shape(step: Step) -> None:
    """Only lengths of other axes are read."""
    readers = step.node.outputs[0].consumers()
    if "start" in step.node.attributes or "end" in step.node.attributes:
        step.block(f"{step.name} reads how many they are")
        return
    for reader in readers:
        picked = None
        if reader.op_type == "Gather" and len(reader.inputs) > 1:
            picked = step.tensor(Operand(reader, 1))
        rank = step.rank(step.at)
        if picked is None or rank is None or step.axis in picked.numpy().reshape(-1) % rank:
            step.block(f"{step.name} reads how many they are")
            return


@rule("DepthToSpace")
def depth_to_space(step: Step) -> None:
    """Channels become positions: what becomes of one output channel goes together."""
    x, y = Operand(step.node, 0), step.output()
    block = step.node.attributes.get_int("blocksize", 1) ** 2
    mode = step.node.attributes.get_string("mode", "DCR")
    if step.axis == 0:
        first(step)
    elif step.axis > 1 or (step.at == x and step.length % block):
        step.mixes()
    else:
        inner = np.arange(step.length if step.at == x else step.length * block)
        outer = inner % (len(inner) // block) if mode == "DCR" else inner // block
        if step.at == x:
            step.link(y, 1, inner, outer, len(inner) // block)
        else:
            step.link(x, 1, outer, inner, len(inner))
