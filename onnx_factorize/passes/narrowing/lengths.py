"""Lengths of axes as numbers: where a graph reads them, and what it makes of them."""

from __future__ import annotations

import dataclasses
import math

import onnx_ir as ir

from .operand import Operand, Use
from .trace import Trace

__all__ = ["Ends", "Literal", "ends_of", "origin_of_length", "sliced"]

# Operators that keep the order of the numbers in a list, or make a list of one.
_MOVES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")

# The inputs of operators that are the shape of their output.
_SHAPES = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Resize": 3}


@dataclasses.dataclass(frozen=True)
class Literal:
    """A length in a list whose numbers are all known.

    Attributes:
        path: The inputs from the operator that is given a shape back to the one that reads the
            list; the first is the shape itself.
        position: The place in the list.
        number: The length.
    """

    path: tuple[int, ...]
    position: int
    number: int


@dataclasses.dataclass
class Ends:
    """What becomes of a length.

    Attributes:
        axes: Operands, with the axes that have it for their length.
        known: Uses of lists that have it, and other numbers that are all known, too.
    """

    axes: list[tuple[Operand, int]] = dataclasses.field(default_factory=list)
    known: list[Use] = dataclasses.field(default_factory=list)


def origin_of_length(
    trace: Trace, operand: Operand, place: int
) -> Literal | tuple[Operand, int] | None:
    """The origin of a number in a list of lengths.

    Args:
        trace: What is known of the graph.
        operand: The list.
        place: The place in it.

    Returns:
        The nearest list whose numbers are all known; where there is none, the operand whose length
        it is, with the axis; None where it is computed in another way.
    """
    path = [operand.index]
    while True:
        numbers = trace.numbers(operand)
        if numbers is not None:
            return Literal(tuple(path), place, numbers[place])
        node = operand.value.producer()
        if node is None or node.domain != "":
            return None
        if node.op_type == "Shape":
            return Operand(node, 0), place + node.attributes.get_int("start", 0)
        behind = _behind(trace, node, place)
        if behind is None:
            return None
        operand, place = behind
        path.append(operand.index)


def ends_of(trace: Trace, value: ir.Value, place: int) -> Ends | None:
    """What becomes of a number in a list of lengths.

    Args:
        trace: What is known of the graph.
        value: The list.
        place: The place in it.

    Returns:
        That; None where something computes with it that is not known.
    """
    if value.is_graph_output():
        return None
    ends = Ends()
    for node, index in value.uses():
        if trace.numbers(Operand(node, index)) is not None:
            ends.known.append(Use(node, index))
            continue
        if _SHAPES.get(node.op_type) == index and node.domain == "":
            if "axes" in node.attributes:
                return None
            ends.axes.append((Operand(node, 0, True), place))
            continue
        places = _moved(trace, node, index, place)
        for each in places or ():
            further = ends_of(trace, node.outputs[0], each)
            if further is None:
                return None
            ends.axes += further.axes
            ends.known += further.known
        if places is None:
            return None
    return ends


def sliced(trace: Trace, node: ir.Node) -> list[tuple[int, int, int, int]] | None:
    """The axes of a Slice, each with start, end and step; None where they are not known."""
    if "starts" in node.attributes:
        names = ("starts", "ends", "axes")
        lists = [tuple(node.attributes.get_ints(name, ())) for name in names]
    else:
        lists = []
        for index in range(1, len(node.inputs)):
            if node.inputs[index] is None:
                lists.append(())
                continue
            numbers = trace.numbers(Operand(node, index))
            if numbers is None:
                return None
            lists.append(numbers)
    starts, ends, axes, steps = (*lists, (), ())[:4]
    every = range(len(starts))
    return list(zip(axes or every, starts, ends, steps or [1] * len(starts), strict=True))


def _behind(trace: Trace, node: ir.Node, place: int) -> tuple[Operand, int] | None:
    """The operand and the place in it that a number comes from; None where it is computed."""
    if node.op_type in _MOVES:
        return Operand(node, 0), place
    if node.op_type == "Concat":
        parts = _part_sizes(trace, node)
        for index, size in enumerate(parts or ()):
            if place < size:
                return Operand(node, index), place
            place -= size
    if node.op_type in ("Gather", "Slice"):
        picked = _picked(trace, node)
        return None if picked is None else (Operand(node, 0), picked[place])
    return None


def _moved(trace: Trace, node: ir.Node, index: int, place: int) -> list[int] | None:
    """The places of a number in what an operator makes of a list; None where that is no list."""
    if node.domain != "":
        return None
    if node.op_type in _MOVES and index == 0:
        return [place]
    if node.op_type == "Concat":
        parts = _part_sizes(trace, node)
        return None if parts is None else [sum(parts[:index]) + place]
    if node.op_type in ("Gather", "Slice") and index == 0:
        picked = _picked(trace, node)
        return None if picked is None else [i for i, each in enumerate(picked) if each == place]
    return None


def _part_sizes(trace: Trace, node: ir.Node) -> list[int] | None:
    """The sizes of the lists that a Concat joins."""
    found = [_size(trace, Operand(node, index)) for index in range(len(node.inputs))]
    known = [size for size in found if size is not None]
    return known if len(known) == len(found) else None


def _size(trace: Trace, operand: Operand) -> int | None:
    """The number of numbers in a list; None where it is not known."""
    listed = trace.facts.ints.get(operand.value)
    if listed is not None:
        return len(listed)
    node = operand.value.producer()
    if node is not None and node.domain == "":
        if node.op_type == "Shape" and not node.attributes:
            dims = trace.dims(Operand(node, 0))
            return None if dims is None else len(dims)
        if node.op_type in _MOVES:
            return _size(trace, Operand(node, 0))
        if node.op_type in ("Gather", "Slice"):
            picked = _picked(trace, node)
            return None if picked is None else len(picked)
    dims = trace.dims(operand)
    sizes = [dim for dim in dims or () if isinstance(dim, int)]
    return None if dims is None or len(sizes) < len(dims) else math.prod(sizes)


def _picked(trace: Trace, node: ir.Node) -> list[int] | None:
    """The places of a list that a Gather or a Slice picks."""
    size = _size(trace, Operand(node, 0))
    if size is None:
        return None
    if node.op_type == "Gather":
        indices = trace.numbers(Operand(node, 1))
        return None if indices is None else [index % size for index in indices]
    found = sliced(trace, node)
    if found is None or len(found) != 1:
        return None
    (_, start, end, step) = found[0]
    return list(range(*slice(start, end, step).indices(size)))
