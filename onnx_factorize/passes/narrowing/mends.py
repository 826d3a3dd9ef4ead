"""What an operator says of its channels in numbers, and how it is put right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import onnx_ir as ir

from .group import Indices
from .operand import Axis, Use

__all__ = [
    "Constants",
    "Freeze",
    "Mend",
    "MendGroups",
    "MendIndices",
    "MendInteger",
    "MendSlice",
    "MendSplit",
]

_SPLIT_INPUT_SINCE = 13


class Constants(Protocol):
    """What a mend is given."""

    @property
    def opset(self) -> int:
        """The version of the standard operators."""

    def kept(self, axis: Axis) -> Indices:
        """The indices along an axis that stay."""

    def read(self, use: Use) -> Indices:
        """The integers that an operator is given, as mended so far."""

    def write(self, use: Use, contents: Indices) -> None:
        """Gives an operator a constant in the place of integers, which others may read still."""

    def alone(self, node: ir.Node, path: Sequence[int]) -> Use:
        """The end of a path of inputs, of which no operator serves others, too."""

    def add(self, node: ir.Node, index: int, contents: Indices) -> None:
        """Gives an operator a constant of integers in place of an input that it lacks."""


class Mend(Protocol):
    """Numbers of one operator, which follow what becomes of an axis. Equal ones are one."""

    @property
    def axis(self) -> Axis:
        """The axis: where nothing of it goes, there is nothing to put right."""

    def __call__(self, constants: Constants) -> None:
        """Puts the numbers right."""


@dataclasses.dataclass(frozen=True)
class MendGroups:
    """An attribute that counts groups of channels.

    Attributes:
        node: The operator.
        name: The attribute.
        axis: The axis of its input channels.
        each: Input channels of one group.
    """

    node: ir.Node
    name: str
    axis: Axis
    each: int

    def __call__(self, constants: Constants) -> None:
        """Counts the groups that stay."""
        groups = len(constants.kept(self.axis)) // self.each
        self.node.attributes[self.name] = ir.AttrInt64(self.name, groups)


@dataclasses.dataclass(frozen=True)
class MendInteger:
    """A length in a list of lengths that are known: a shape, say.

    Attributes:
        node: The operator that is given the shape.
        path: The inputs from there to the list: see `Literal`.
        position: The place in the list.
        axis: The axis whose length it is.
    """

    node: ir.Node
    path: tuple[int, ...]
    position: int
    axis: Axis

    def __call__(self, constants: Constants) -> None:
        """Writes the length of what stays."""
        use = constants.alone(self.node, self.path)
        numbers = np.array(constants.read(use))
        numbers.reshape(-1)[self.position] = len(constants.kept(self.axis))
        constants.write(use, numbers)


@dataclasses.dataclass(frozen=True)
class Freeze:
    """Numbers that a graph computes from the length of an axis, and that stay what they were.

    Attributes:
        use: The list.
        axis: The axis.
    """

    use: Use
    axis: Axis

    def __call__(self, constants: Constants) -> None:
        """Writes the numbers down, unless that was done, or nothing reads them any more."""
        if self.use.node.graph is not None:
            constants.write(self.use, constants.read(self.use))


@dataclasses.dataclass(frozen=True)
class MendIndices:
    """The constant indices by which a Gather picks elements of an axis.

    Attributes:
        use: The indices.
        axis: The axis that they pick from.
        picked: The axis of what they pick.
    """

    use: Use
    axis: Axis
    picked: Axis

    def __call__(self, constants: Constants) -> None:
        """Counts the elements anew that stay."""
        indices = constants.read(self.use) % self.axis.length
        stay = indices[constants.kept(self.picked)]
        constants.write(self.use, np.searchsorted(constants.kept(self.axis), stay))


@dataclasses.dataclass(frozen=True)
class MendSlice:
    """The range that a Slice takes of an axis, in steps of one.

    Attributes:
        node: The Slice.
        place: The place of the axis in its lists.
        axis: The axis.
        start: The first element of the range.
        end: The element behind its last.
    """

    node: ir.Node
    place: int
    axis: Axis
    start: int
    end: int

    def __call__(self, constants: Constants) -> None:
        """Finds the range anew."""
        kept = constants.kept(self.axis)
        ends = np.searchsorted(kept, [self.start, self.end])
        for index, (name, number) in enumerate(zip(("starts", "ends"), ends, strict=True), 1):
            if name in self.node.attributes:
                numbers = list(self.node.attributes[name].as_ints())
                numbers[self.place] = int(number)
                self.node.attributes[name] = ir.AttrInt64s(name, numbers)
            else:
                use = Use(self.node, index)
                contents = np.array(constants.read(use))
                contents[self.place] = number
                constants.write(use, contents)


@dataclasses.dataclass(frozen=True)
class MendSplit:
    """The lengths of the parts that a Split makes.

    Attributes:
        node: The Split.
        axis: The axis that it splits.
        parts: The axes of the parts.
    """

    node: ir.Node
    axis: Axis
    parts: tuple[Axis, ...]

    def __call__(self, constants: Constants) -> None:
        """Writes the lengths, whether there were any or not."""
        lengths = np.array([len(constants.kept(part)) for part in self.parts])
        if constants.opset < _SPLIT_INPUT_SINCE:
            self.node.attributes["split"] = ir.AttrInt64s("split", lengths.tolist())
        elif len(self.node.inputs) > 1 and self.node.inputs[1] is not None:
            constants.write(Use(self.node, 1), lengths)
        else:
            self.node.attributes.pop("num_outputs", None)
            constants.add(self.node, 1, lengths)
