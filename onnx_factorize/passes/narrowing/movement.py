"""Operators that move channels: Transpose, Concat, Split and their like."""

from __future__ import annotations

import numpy as np

from .mends import MendIndices, MendSlice, MendSplit
from .normalization import through
from .operand import Operand, Use
from .registry import rule
from .step import Step


@rule("Transpose")
def transpose(step: Step) -> None:
    """Axes change places."""
    x, y = Operand(step.node, 0), step.output()
    rank = step.rank(step.at)
    if rank is None:
        step.unknown(step.at)
        return
    perm = list(step.node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    if step.at == x:
        step.same(y, perm.index(step.axis))
    else:
        step.same(x, perm[step.axis])


@rule("Concat")
def concat(step: Step) -> None:
    """Values lie behind one another along one axis."""
    y = step.output()
    dims = step.dims(y)
    if dims is None:
        step.unknown(y)
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


@rule("Split")
def split(step: Step) -> None:
    """A value is cut along one axis."""
    x, rank = Operand(step.node, 0), step.rank(step.at)
    if rank is None or step.at not in (x, *step.outputs):
        step.unknown(step.at)
        return
    axis = step.node.attributes.get_int("axis", 0) % rank
    if step.axis != axis:
        for operand in (x, *step.outputs):
            if operand != step.at:
                step.same(operand, step.axis)
        return
    dims = step.dims(x)
    whole = None if dims is None else dims[axis]
    lengths = _lengths(step, whole) if isinstance(whole, int) else None
    if lengths is None or not isinstance(whole, int) or len(step.outputs) < len(lengths):
        step.block(f"the lengths of what {step.name} gives are not known")
        return
    offset = 0
    for part, length in zip(step.outputs, lengths, strict=True):
        there = offset + np.arange(length)
        if step.at == x:
            step.link(part, axis, there, np.arange(length), length)
        elif step.at == part:
            step.link(x, axis, np.arange(length), there, whole)
        offset += length
    if step.at == x:
        found = [step.reached(operand, axis) for operand in (x, *step.outputs)]
        first, *others = (each for each in found if each is not None)
        step.mend(MendSplit(step.node, first, tuple(others)))


def _lengths(step: Step, whole: int) -> list[int] | None:
    """The lengths of the parts that a Split makes."""
    given = list(step.node.attributes.get_ints("split", ())) or step.integers(1)
    if given is None or given:
        return given
    count = len(step.node.outputs)
    each = -(-whole // count)
    return [min(each, whole - place * each) for place in range(count)]


@rule("Slice")
def slice_(step: Step) -> None:
    """A range of some axes is taken; of one with channels, in steps of one."""
    x, y, rank = Operand(step.node, 0), step.output(), step.rank(step.at)
    found, dims = step.sliced(), step.dims(x)
    if rank is None or dims is None or found is None or step.at not in (x, y):
        step.block(f"the range of {step.name} is not constant")
        return
    places = [place for place, (axis, *_) in enumerate(found) if axis % rank == step.axis]
    if not places:
        through(step)
        return
    whole, (_, start, end, stride) = dims[step.axis], found[places[0]]
    if not isinstance(whole, int) or stride != 1 or len(places) > 1:
        step.block(f"{step.name} does not take one range of them")
        return
    taken = np.arange(whole)[start:end]
    if not len(taken):
        step.mixes()
        return
    if step.at == x:
        step.link(y, step.axis, taken, np.arange(len(taken)), len(taken))
    else:
        step.link(x, step.axis, np.arange(len(taken)), taken, whole)
    reached = step.reached(x, step.axis)
    if reached is not None:
        last = int(taken[-1]) + 1
        step.mend(MendSlice(step.node, places[0], reached, int(taken[0]), last))


@rule("Gather")
def gather(step: Step) -> None:
    """Elements of one axis are picked; of one with channels, by a constant list."""
    x, indices, y = Operand(step.node, 0), Operand(step.node, 1), step.output()
    rank, more = step.rank(x), step.rank(indices)
    if rank is None or more is None or step.at == indices:
        step.block(f"{step.name} picks by them")
        return
    axis = step.node.attributes.get_int("axis", 0) % rank
    if step.at == x and step.axis != axis:
        step.same(y, step.axis + (more - 1 if step.axis > axis else 0))
        return
    if step.at == y and not axis <= step.axis < axis + more:
        step.same(x, step.axis - (more - 1 if step.axis > axis else 0))
        if step.is_embedding:
            step.produces()
        return
    picked, dims = step.integers(1), step.dims(x)
    whole = None if dims is None else dims[axis]
    if picked is None or more != 1 or not isinstance(whole, int):
        step.block(f"{step.name} picks some of them")
        return
    theirs, mine = np.array(picked) % whole, np.arange(len(picked))
    if step.at == x:
        step.link(y, axis, theirs, mine, len(picked))
    else:
        step.link(x, axis, mine, theirs, whole)
    source, found = step.reached(x, axis), step.reached(y, axis)
    if source is not None and found is not None:
        step.mend(MendIndices(Use(step.node, 1), source, found))


@rule("Pad")
def pad(step: Step) -> None:
    """Other axes are padded."""
    rank = step.rank(step.at)
    if rank is None:
        step.unknown(step.at)
        return
    pads, axes = list(step.node.attributes.get_ints("pads", ())), step.integers(3)
    found = pads or step.integers(1)
    if not found or axes is None:
        step.block(f"what {step.name} pads is not constant")
        return
    padded = [axis % rank for axis in axes] if axes else list(range(rank))
    if any(found[i] or found[i + len(padded)] for i, a in enumerate(padded) if a == step.axis):
        step.block(f"{step.name} pads them")
    else:
        through(step)


@rule("Tile", since=6)
def tile(step: Step) -> None:
    """Other axes are repeated."""
    repeats = step.integers(1)
    if not repeats or step.axis >= len(repeats) or repeats[step.axis] != 1:
        step.block(f"{step.name} repeats them")
    else:
        through(step)


@rule("Resize", "Upsample")
def resize(step: Step) -> None:
    """Axes that keep their length are not resized."""
    x, y = Operand(step.node, 0), step.output()
    other = y if step.at == x else x
    dims = step.dims(other)
    if step.at not in (x, y) or dims is None or dims[step.axis] != step.length:
        step.block(f"{step.name} may resize them")
        return
    through(step)
    sizes = step.input(3)
    if sizes is not None and "axes" in step.node.attributes:
        step.block(f"the sizes of {step.name} are given by axis")
    elif sizes is not None:
        step.counts(sizes, step.axis, y, step.axis)


@rule("DepthToSpace", "SpaceToDepth")
def depth(step: Step) -> None:
    """Channels become positions, or positions channels: those of one channel go together."""
    x, y = Operand(step.node, 0), step.output()
    deep, other = (x, y) if step.node.op_type == "DepthToSpace" else (y, x)
    block = step.node.attributes.get_int("blocksize", 1) ** 2
    if step.axis > 1 or (step.axis == 1 and step.at == deep and step.length % block):
        step.mixes()
        return
    if step.axis == 0:
        through(step)
        return
    columns = step.node.attributes.get_string("mode", "DCR") == "CRD"
    every = np.arange(step.length * (1 if step.at == deep else block))
    few = len(every) // block
    shallow = every // block if columns else every % few
    if step.at == deep:
        step.link(other, 1, every, shallow, few)
    else:
        step.link(deep, 1, shallow, every, len(every))


@rule("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear")
def quantize(step: Step) -> None:
    """Integers have scales, which are left as they are."""
    step.block(f"{step.name} quantizes them: narrow before quantizing")
