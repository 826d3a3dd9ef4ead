"""Lengths of axes as numbers: where a graph reads them, and what it makes of them."""

from __future__ import annotations

import dataclasses
import itertools
import math

import onnx_ir as ir

from .operand import Operand, Use
from .trace import Trace

__all__ = ["Literal", "ends_of", "origin_of_length", "sliced"]

# Operators that keep the order of the numbers in a list, or make a list of one.
_MOVES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")

# The inputs of operators that are the shape of their output.
_SHAPES = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Resize": 3}


@dataclasses.dataclass(frozen=True)
class Literal:
    """A length that is written in a constant.

    Attributes:
        use: The constant.
        position: The place in it.
        place: The place in what the operator that reads the constant gives.
    """

    use: Use
    position: int
    place: int


def origin_of_length(
    trace: Trace, operand: Operand, place: int
) -> Literal | tuple[Operand, int] | None:
    """The origin of a number in a list of lengths.

    Args:
        trace: What is known of the graph.
        operand: The list.
        place: The place in it.

    Returns:
        The constant that it stands in, or the operand whose length it is, with the axis; None
        where it is computed in another way.
    """
    position = outer = place
    while trace.tensor(operand) is None:
        node, outer = operand.value.producer(), position
        if node is None or node.domain != "":
            return None
        if node.op_type == "Shape":
            return Operand(node, 0), position + node.attributes.get_int("start", 0)
        behind = _behind(trace, node, position)
        if behind is None:
            return None
        operand, position = behind
    return Literal(Use(operand.node, operand.index), position, outer)


def _behind(trace: Trace, node: ir.Node, place: int) -> tuple[Operand, int] | None:
    """The operand and the place in it that a number comes from; None where it is computed."""
    if node.op_type in _MOVES:
        return Operand(node, 0), place
    if node.op_type == "Concat":
        parts = _part_lengths(trace, node)
        for index, length in enumerate(parts or ()):
            if place < length:
                return Operand(node, index), place
            place -= length
    if node.op_type in ("Gather", "Slice"):
        picked = _picked(trace, node)
        return None if picked is None else (Operand(node, 0), picked[place])
    return None


def ends_of(trace: Trace, value: ir.Value, place: int) -> list[tuple[Operand, int]] | None:
    """The axes that have a number of a list of lengths for their length.

    Args:
        trace: What is known of the graph.
        value: The list.
        place: The place in it.

    Returns:
        Operands with their axes; None where something else reads the number.
    """
    if value.is_graph_output():
        return None
    ends: list[tuple[Operand, int]] = []
    for node, index in value.uses():
        if _SHAPES.get(node.op_type) == index and node.domain == "":
            if "axes" in node.attributes:
                return None
            ends.append((Operand(node, 0, True), place))
            continue
        places = _moved(trace, node, index, place)
        if places is None:
            return None
        for each in places:
            found = ends_of(trace, node.outputs[0], each)
            if found is None:
                return None
            ends += found
    return ends


def _moved(trace: Trace, node: ir.Node, index: int, place: int) -> list[int] | None:
    """The places of a number in what an operator makes of a list; None where that is no list."""
    if node.domain != "":
        return None
    if node.op_type in _MOVES and index == 0:
        return [place]
    if node.op_type == "Concat":
        parts = _part_lengths(trace, node)
        return None if parts is None else [sum(parts[:index]) + place]
    if node.op_type in ("Gather", "Slice") and index == 0:
        picked = _picked(trace, node)
        return None if picked is None else [i for i, each in enumerate(picked) if each == place]
    return None


def _part_lengths(trace: Trace, node: ir.Node) -> list[int] | None:
    """The lengths of the lists that a Concat joins."""
    found = [_size(trace, Operand(node, index)) for index in range(len(node.inputs))]
    known = [size for size in found if size is not None]
    return known if len(known) == len(found) else None


def _size(trace: Trace, operand: Operand) -> int | None:
    """The number of numbers in a list; None where it is not known."""
    tensor, node = trace.tensor(operand), operand.value.producer()
    if tensor is not None:
        return int(tensor.size)
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
        indices = trace.tensor(Operand(node, 1))
        return None if indices is None else [int(i) % size for i in indices.numpy().reshape(-1)]
    found = sliced(trace, node)
    if found is None or len(found) != 1:
        return None
    (_, start, end, step) = found[0]
    return list(range(*slice(start, end, step).indices(size)))


def sliced(trace: Trace, node: ir.Node) -> list[tuple[int, int, int, int]] | None:
    """The axes of a Slice, each with start, end and step; None where they are not constant."""
    lists: list[list[int] | None]
    if "starts" in node.attributes:
        lists = [list(node.attributes.get_ints(name, ())) for name in ("starts", "ends", "axes")]
    else:
        lists = []
        for index in range(1, len(node.inputs)):
            tensor = None if node.inputs[index] is None else trace.tensor(Operand(node, index))
            absent = node.inputs[index] is None
            lists.append(
                [] if absent else None if tensor is None else tensor.numpy().reshape(-1).tolist()
            )
    if any(each is None for each in lists):
        return None
    starts, ends, axes, steps = [
        each or [] for each in itertools.islice(itertools.chain(lists, [[], []]), 4)
    ]
    return list(
        zip(
            axes or range(len(starts)),
            starts,
            ends,
            steps or [1] * len(starts),
            strict=True,
        )
    )
