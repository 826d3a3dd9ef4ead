"""What an operator says of its channels in numbers, and how it is put right."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import onnx_ir as ir

from .group import Indices
from .operand import Axis, Use

__all__ = ["Constants", "Mend", "MendGroups", "MendInteger"]


class Constants(Protocol):
    """What a mend is given."""

    def kept(self, axis: Axis) -> Indices:
        """The indices along an axis that stay."""

    def read(self, use: Use) -> Indices:
        """The contents of a constant of integers, as mended so far."""

    def write(self, use: Use, contents: Indices) -> None:
        """Gives an operator a constant of integers with other contents."""


class Mend(Protocol):
    """Numbers of one operator, which follow what becomes of an axis. Equal ones are one."""

    def __call__(self, constants: Constants) -> None:
        """Puts the numbers right."""


@dataclasses.dataclass(frozen=True)
class MendGroups:
    """The attribute `group` of a convolution.

    Attributes:
        node: The convolution.
        axis: The axis of its input channels.
        each: Input channels of one group.
    """

    node: ir.Node
    axis: Axis
    each: int

    def __call__(self, constants: Constants) -> None:
        """Counts the groups that stay."""
        groups = len(constants.kept(self.axis)) // self.each
        self.node.attributes["group"] = ir.AttrInt64("group", groups)


@dataclasses.dataclass(frozen=True)
class MendInteger:
    """A length in a constant list of lengths: a shape, say.

    Attributes:
        use: The list.
        position: The place in the list.
        axis: The axis whose length it is.
    """

    use: Use
    position: int
    axis: Axis

    def __call__(self, constants: Constants) -> None:
        """Writes the length of what stays."""
        numbers = np.array(constants.read(self.use))
        numbers[self.position] = len(constants.kept(self.axis))
        constants.write(self.use, numbers)
