"""Operands of nodes, and the axes of values along which channels lie."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import onnx_ir as ir

__all__ = ["Axis", "Holder", "Operand", "Use"]


@dataclasses.dataclass(frozen=True)
class Use:
    """A constant, as one operator reads it: others may read the same, and keep it whole."""

    node: ir.Node
    index: int

    @property
    def value(self) -> ir.Value:
        """The constant."""
        value = self.node.inputs[self.index]
        assert value is not None
        return value


@dataclasses.dataclass(frozen=True)
class Operand:
    """An input or an output of a node.

    Attributes:
        node: The node.
        index: Which of its inputs or outputs it is.
        output: Whether it is an output.
    """

    node: ir.Node
    index: int
    output: bool = False

    @property
    def value(self) -> ir.Value:
        """The value that is read or given."""
        value = (self.node.outputs if self.output else self.node.inputs)[self.index]
        assert value is not None
        return value


Holder: TypeAlias = "ir.Value | Use"


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis of a value, or of a constant as one operator reads it.

    Attributes:
        number: Axes are counted in the order in which they are found.
        holder: What has the axis.
        axis: Which of its axes it is.
        length: Its length.
        start: Its first element, all axes laid one behind the other.
    """

    number: int
    holder: Holder
    axis: int
    length: int
    start: int
