"""The view that a rule has of the node that channels reach."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ...graph import opset
from ..adjoint.emission.facts import Dim
from .group import Indices
from .lengths import Literal, ends_of, origin_of_length, sliced
from .mends import Freeze, Mend, MendInteger
from .operand import Axis, Operand
from .trace import Trace

__all__ = ["Step"]


class Step:
    """One node, and one axis of one of its operands along which channels lie.

    Attributes:
        node: The node.
        at: The operand.
        axis: Its axis, counted from the first.
        length: The length of the axis.
        name: What reasons call the node.
    """

    def __init__(self, trace: Trace, at: Operand, reached: Axis) -> None:
        self._trace = trace
        self._reached = reached
        self.node = at.node
        self.at = at
        self.axis = reached.axis
        self.length = reached.length
        self.name = named(at.node)

    @property
    def model(self) -> ir.Model:
        """The model."""
        return self._trace.model

    # Operands.

    @property
    def inputs(self) -> list[Operand]:
        """The inputs that are there."""
        found = enumerate(self.node.inputs)
        return [Operand(self.node, index) for index, value in found if value is not None]

    @property
    def outputs(self) -> list[Operand]:
        """The outputs that are there."""
        return [
            Operand(self.node, i, True) for i, value in enumerate(self.node.outputs) if _used(value)
        ]

    @property
    def is_single(self) -> bool:
        """Tells whether nothing reads another output than the first."""
        others = self.node.outputs[1:]
        return not any(value.uses() or value.is_graph_output() for value in others)

    @property
    def operands(self) -> list[Operand]:
        """All operands."""
        return self.inputs + self.outputs

    def input(self, index: int) -> Operand | None:
        """An input, if it is there."""
        inputs = self.node.inputs
        there = index < len(inputs) and inputs[index] is not None
        return Operand(self.node, index) if there else None

    def output(self, index: int = 0) -> Operand:
        """An output."""
        return Operand(self.node, index, True)

    def tensor(self, operand: Operand | None) -> ir.TensorProtocol | None:
        """What an operand holds that is a constant."""
        return None if operand is None else self._trace.tensor(operand)

    def integers(self, index: int) -> list[int] | None:
        """The integers in an input, if all are known; none where it is absent."""
        operand = self.input(index)
        numbers = () if operand is None else self._trace.numbers(operand)
        return None if numbers is None else list(numbers)

    def dims(self, operand: Operand) -> tuple[Dim, ...] | None:
        """The dimensions of an operand, if its rank is known."""
        return self._trace.dims(operand)

    def rank(self, operand: Operand) -> int | None:
        """The rank of an operand, if it is known."""
        dims = self.dims(operand)
        return None if dims is None else len(dims)

    def origin(self, operand: Operand, place: int) -> Literal | tuple[Operand, int] | None:
        """The origin of a number in a list of lengths: see `origin_of_length`."""
        return origin_of_length(self._trace, operand, place)

    def sliced(self) -> list[tuple[int, int, int, int]] | None:
        """The axes of a Slice, each with start, end and step, if they are known."""
        return sliced(self._trace, self.node)

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return opset(self.model)

    @property
    def is_embedding(self) -> bool:
        """Tells whether a Gather picks rows of a weight, and this axis is that of its columns."""
        return self.node in self._trace.embeddings and self.axis == (self.rank(self.at) or 0) - 1

    # Answers.

    def same(self, operand: Operand | None, axis: int) -> None:
        """Says that an axis of another operand holds the same channels in the same order."""
        if operand is not None:
            self._join(operand, axis, self.length, None, None)

    def link(
        self, operand: Operand, axis: int, mine: Indices, theirs: Indices, length: int
    ) -> None:
        """Says which elements of an axis of another operand go with those of this one.

        Args:
            operand: The other.
            axis: Its axis.
            mine: Elements of this axis, shape (links,).
            theirs: Elements of the other that go with them, shape (links,).
            length: The length of the other axis.
        """
        self._join(operand, axis, length, mine, theirs)

    def _join(
        self,
        operand: Operand,
        axis: int,
        length: int,
        mine: Indices | None,
        theirs: Indices | None,
        reached: Axis | None = None,
    ) -> None:
        dims = self.dims(operand)
        if dims is None or axis >= len(dims):
            self.unknown(operand)
            return
        dim = dims[axis]
        if isinstance(dim, int) and dim != length:
            self.block(f"'{operand.value.name}' is not as long as its channels ({self.name})")
            return
        other = self._trace.axis(operand, axis, length)
        if other.length != length:
            self.block(f"operators disagree on the length of '{operand.value.name}'")
            return
        every = np.arange(length, dtype=np.int64)
        self._trace.touch(other, self.node)
        self._trace.link(
            reached or self._reached,
            every if mine is None else mine,
            other,
            every if theirs is None else theirs,
        )

    def produces(self) -> None:
        """Says that a linear operator computes the channels."""
        self._trace.producers[self.node] = self._reached

    def reads(self) -> None:
        """Says that a linear operator multiplies by the channels."""
        self._trace.readers[self.node] = self._reached

    def unknown(self, operand: Operand) -> None:
        """Says that the shape of an operand is not known, so that none may go."""
        self.block(f"nothing is known of the shape of '{operand.value.name}' ({self.name})")

    def block(self, reason: str) -> None:
        """Says why none of the channels may go: one clause about them."""
        self._trace.block(self._reached, reason)

    def mixes(self) -> None:
        """Says that the operator computes something of all channels together."""
        self.block(f"{self.name} computes something of all its channels together")

    def mend(self, mend: Mend) -> None:
        """Says that numbers of the operator follow what becomes of an axis."""
        self._trace.mends[mend] = None

    def counts(self, shape: Operand, place: int, y: Operand, axis: int) -> None:
        """Says that a number in a list of lengths is the length of an axis.

        Args:
            shape: The list.
            place: The place in it.
            y: The operand that has the axis.
            axis: The axis, which channels have reached.
        """
        found, origin = self.reached(y, axis), self.origin(shape, place)
        assert found is not None
        if origin is None:
            self.block(f"the shape of {self.name} is computed")
        elif not isinstance(origin, Literal):
            self._join(*origin, self.length, None, None, found)
        elif origin.number > 1:
            self.mend(MendInteger(self.node, origin.path, origin.position, found))

    def counted(self, value: ir.Value, place: int) -> None:
        """Says that the length of the channels' axis stands in a list of lengths."""
        ends = ends_of(self._trace, value, place)
        if ends is None:
            self.block(f"'{value.name}' says how many they are, and is used in computations")
            return
        for operand, end in ends.axes:
            self._join(operand, end, self.length, None, None)
        for use in ends.known:
            self._trace.freezes[Freeze(use, self._reached)] = None

    def reached(self, operand: Operand, axis: int) -> Axis | None:
        """An axis of an operand, if channels have reached it."""
        return self._trace.known(self._trace.holder(operand), axis)


def named(node: ir.Node) -> str:
    """What reasons call a node."""
    return f"{node.op_type} '{node.name}'" if node.name else node.op_type


def _used(value: ir.Value) -> bool:
    return bool(value.name or value.uses() or value.is_graph_output())
