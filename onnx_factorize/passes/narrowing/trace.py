"""Axes of values along which channels lie, and how they are joined."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from ...graph import constant
from ..adjoint.emission.facts import Dim, Facts
from ..linear.weights import replaceable
from .group import Indices
from .mends import Freeze, Mend
from .operand import Axis, Holder, Operand, Use

__all__ = ["Link", "Trace"]


@dataclasses.dataclass(frozen=True, eq=False)
class Link:
    """Elements of two axes that must go together, shape (links,) each."""

    one: Axis
    mine: Indices
    other: Axis
    theirs: Indices


class Trace:
    """The axes that channels reach, from the outputs of linear operators on.

    Attributes:
        model: The model.
        facts: What is certain of ranks and lengths.
        axes: Axes in the order in which they were found.
        links: What joins their elements.
        blocked: By the number of an axis, why none of its elements may go.
        producers: By node, the axis of its output, of linear operators.
        readers: By node, the axis that it multiplies by, of linear operators.
        nodes: By the number of an axis, the nodes that have it, in any of their operands.
        freezes: Numbers that are computed from lengths, and stay what they were.
        mends: Numbers to put right, once those are written down.
        embeddings: Gathers of rows of a weight.
    """

    def __init__(self, model: ir.Model, facts: Facts) -> None:
        self.model = model
        self.facts = facts
        self.axes: list[Axis] = []
        self.links: list[Link] = []
        self.blocked: dict[int, str] = {}
        self.producers: dict[ir.Node, Axis] = {}
        self.readers: dict[ir.Node, Axis] = {}
        self.nodes: dict[int, dict[ir.Node, None]] = {}
        self.freezes: dict[Freeze, None] = {}
        self.mends: dict[Mend, None] = {}
        self.embeddings: set[ir.Node] = set()
        self.fresh: list[Axis] = []
        self.size = 0
        self._known: dict[tuple[Holder, int], Axis] = {}
        self._tensors: dict[Use, ir.TensorProtocol | None] = {}

    def tensor(self, operand: Operand) -> ir.TensorProtocol | None:
        """What an input holds that is a constant."""
        if operand.output:
            return None
        use = Use(operand.node, operand.index)
        if use not in self._tensors:
            self._tensors[use] = constant(operand.value)
        return self._tensors[use]

    def numbers(self, operand: Operand) -> tuple[int, ...] | None:
        """The integers in an input, if all of them are known."""
        tensor = self.tensor(operand)
        if tensor is not None and tensor.dtype in (ir.DataType.INT32, ir.DataType.INT64):
            return tuple(int(number) for number in tensor.numpy().reshape(-1))
        listed = self.facts.ints.get(operand.value)
        known = tuple(number for number in listed or () if isinstance(number, int))
        return known if listed is not None and len(known) == len(listed) else None

    def holder(self, operand: Operand) -> Holder:
        """What has the axes of an operand."""
        if self.tensor(operand) is None:
            return operand.value
        return Use(operand.node, operand.index)

    def dims(self, operand: Operand) -> tuple[Dim, ...] | None:
        """The dimensions of an operand, if its rank is known."""
        tensor = self.tensor(operand)
        if tensor is not None:
            return tuple(int(length) for length in tensor.shape.numpy())
        return self.facts.dims.get(operand.value)

    def axis(self, operand: Operand, axis: int, length: int) -> Axis:
        """The axis of an operand; where it is a new one, it is to be followed."""
        key = (self.holder(operand), axis)
        found = self._known.get(key)
        if found is None:
            found = Axis(len(self.axes), key[0], axis, length, self.size)
            self._known[key] = found
            self.axes.append(found)
            self.fresh.append(found)
            self.size += length
            if isinstance(key[0], Use) and replaceable(self.model, key[0].value):
                self.block(found, f"a caller may replace '{key[0].value.name}', a graph input")
        elif found.length != length:
            self.block(found, f"operators disagree on the length of '{operand.value.name}'")
        return found

    def known(self, holder: Holder, axis: int) -> Axis | None:
        """An axis, if it was found."""
        return self._known.get((holder, axis))

    def touch(self, axis: Axis, node: ir.Node) -> None:
        """Notes that a node has an axis."""
        self.nodes.setdefault(axis.number, {})[node] = None

    def block(self, axis: Axis, reason: str) -> None:
        """Says why no element of an axis may go; the first reason stays."""
        self.blocked.setdefault(axis.number, reason)

    def link(self, one: Axis, mine: Indices, other: Axis, theirs: Indices) -> None:
        """Joins elements of two axes."""
        self.links.append(Link(one, mine, other, theirs))

    def pairs(self) -> tuple[Indices, Indices]:
        """All elements that are joined, counted through all axes: shape (links,) each."""
        one = [link.one.start + link.mine for link in self.links]
        other = [link.other.start + link.theirs for link in self.links]
        nothing = [np.zeros(0, np.int64)]
        return np.concatenate(nothing + one), np.concatenate(nothing + other)
