"""Channels in a model of their own: what computes them, what lies between, what reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...graph import constant, subgraphs
from .find_channels import FindChannels
from .group import ChannelGroup
from .narrow_channels import NarrowChannels

__all__ = ["Neighbours"]

# What a model is allowed to be when its source does not say.
_IR_VERSION = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """Neighbours that share some channels, and the values that cross into and out of them.

    Attributes:
        group: The channels.
        inputs: What they read of the rest of the model.
        outputs: What the rest reads of them.
    """

    group: ChannelGroup
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]

    @classmethod
    def of(cls, group: ChannelGroup, model: ir.Model) -> Neighbours | None:
        """The neighbours of some channels; None where some are in the body of another operator.

        Args:
            group: The channels.
            model: The normalised model in which they were found.
        """
        readers = (reader.layer for reader in group.readers)
        nodes = {*group.nodes, *(layer.node for layer in (*group.producers, *readers))}
        if any(node.graph is not model.graph or any(subgraphs(node)) for node in nodes):
            return None
        read = (value for node in nodes for value in node.inputs if value is not None)
        inputs = {
            value
            for value in read
            if value.producer() not in nodes and constant(value) is None and value.name
        }
        outputs = {
            value
            for node in nodes
            for value in node.outputs
            if value.is_graph_output() or any(use.node not in nodes for use in value.uses())
        }
        return cls(group, _in_order(inputs), _in_order(outputs))

    def alone(self, feeds: Mapping[str, npt.NDArray[Any]], model: ir.Model) -> ir.Model:
        """A model of these operators alone, with all channels.

        Args:
            feeds: The arrays that it will be run on, by the names of `inputs`.
            model: The normalised model; it is not changed.
        """
        graph = ir.convenience.extract(model.graph, self.inputs, self.outputs)
        for value in graph.inputs:
            array = feeds[value.name or ""]
            value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
            value.shape = ir.Shape(array.shape)
        return ir.Model(graph, ir_version=max(model.ir_version or 0, _IR_VERSION))

    def narrowed(self, alone: ir.Model, widths: Sequence[int]) -> list[ir.Model]:
        """The same model at several widths; none where it does not hold all that the channels are.

        Args:
            alone: What `alone` made; it is not changed.
            widths: How many channels stay.
        """
        finder = FindChannels()
        finder(alone)
        wanted = {layer.name for layer in self.group.producers}, self.group.width, self.group.unit
        for group in finder.groups:
            if ({layer.name for layer in group.producers}, group.width, group.unit) == wanted:
                copies = [alone.clone() for _ in widths]
                for copy, width in zip(copies, widths, strict=True):
                    NarrowChannels({group.name: np.arange(width)})(copy)
                return copies
        return []


def _in_order(values: Iterable[ir.Value]) -> tuple[ir.Value, ...]:
    return tuple(sorted(values, key=lambda value: value.name or ""))
