"""Groups of channels between linear operators, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..linear.layer import Layer

__all__ = ["ChannelGroup", "Indices", "Place", "Reader", "RefusedChannels"]

Indices = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """The place of a group's channels along one axis of a constant.

    Attributes:
        value: The constant: an initializer in a normalised model.
        axis: The axis.
        positions: Indices along the axis that belong to each channel, shape (width, count).
        node: The operator that reads it.
        index: The input by which it does.
    """

    value: ir.Value
    axis: int
    positions: Indices
    node: ir.Node
    index: int


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """A linear operator that multiplies by the channels.

    Attributes:
        layer: The operator, as `FindTargets` finds it, under the same name.
        rows: Rows of the layer's own unfolding that belong to each channel, shape (width, taps):
            the elements of a kernel, the positions behind Flatten, one otherwise.
    """

    layer: Layer
    rows: Indices


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels of which any may go, and what goes with each.

    A channel is the smallest part that can go by itself: an output of the first producer, or
    several of them where others tie these together (a group of a grouped convolution, a head).

    Attributes:
        name: Unique in the model: the first producer's.
        width: The number of channels.
        unit: Outputs of the first producer in one channel.
        producers: The linear operators whose outputs the channels are, in graph order.
        columns: Of each producer, the outputs that belong to each channel, shape (width, count):
            columns of its own unfolding.
        readers: The linear operators that read them, in graph order.
        places: Every constant that shrinks: weights and biases of producers, what lies between,
            and weights of readers.
        nodes: What lies between producers and readers, in graph order.
    """

    name: str
    width: int
    unit: int
    producers: tuple[Layer, ...]
    columns: tuple[Indices, ...]
    readers: tuple[Reader, ...]
    places: tuple[Place, ...]
    nodes: tuple[ir.Node, ...]


@dataclasses.dataclass(frozen=True)
class RefusedChannels:
    """Channels that stay, and why.

    Attributes:
        name: The linear operator whose outputs they are, the first of several.
        op_type: What that is.
        reason: One clause that a user understands.
        operators: All linear operators whose outputs they are.
    """

    name: str
    op_type: str
    reason: str
    operators: tuple[str, ...]
