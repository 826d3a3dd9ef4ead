"""Find the channels that can go, and say why the others cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from .._names import linear_names
from ..linear.layer import Layer
from ..linear.registry import spec_of
from ..linear.sharing import asked_once
from ..linear.weights import COMPUTED
from .components import components, signatures
from .follow import follow
from .group import ChannelGroup, Indices, Place, Reader, RefusedChannels
from .operand import Axis, Use
from .trace import Trace

__all__ = ["Channels", "FindChannels", "channels_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class Channels:
    """Channels that lie alike, each in the same places as the others.

    Attributes:
        name: The first producer's, and a number where its outputs lie in several ways.
        elements: By axis, the elements of each channel, shape (width, count).
        producers: The operators that compute them.
        readers: The operators that multiply by them.
        reason: Why they stay; None if they may go.
    """

    name: str
    elements: dict[Axis, Indices]
    producers: tuple[ir.Node, ...]
    readers: tuple[ir.Node, ...]
    reason: str | None

    @property
    def width(self) -> int:
        """The number of channels."""
        return len(next(iter(self.elements.values())))


def channels_of(trace: Trace, names: Mapping[ir.Node, str]) -> list[Channels]:
    """All channels that linear operators compute, in graph order.

    Args:
        trace: What was followed.
        names: The linear operators, with their names.
    """
    starts = [*(axis.start for axis in trace.axes), trace.size]
    labels = components(trace.size, *trace.pairs())
    kinds = signatures(labels, starts)
    found: dict[int, dict[Axis, Indices]] = {}
    sorted_out: dict[bytes, dict[int, Indices]] = {}
    for axis in trace.axes:
        here = slice(axis.start, axis.start + axis.length)
        own = labels[here].tobytes()
        if own not in sorted_out:  # most axes hold the same channels as others
            sorted_out[own] = _elements(labels[here], kinds[here])
        for kind, elements in sorted_out[own].items():
            found.setdefault(kind, {})[axis] = elements
    order_of = {node: place for place, node in enumerate(trace.model.graph.all_nodes())}
    every = [_channels(trace, elements, order_of) for elements in found.values()]
    made = [each for each in every if each.producers]
    made.sort(key=lambda each: (order_of[each.producers[0]], _first(trace, each)))
    parts: dict[ir.Node, int] = {}
    named = []
    for each in made:
        node = each.producers[0]
        parts[node] = parts.get(node, 0) + 1
        part = f" (part {parts[node]})" if parts[node] > 1 else ""
        named.append(dataclasses.replace(each, name=names[node] + part))
    return named


def _elements(labels: Indices, kinds: Indices) -> dict[int, Indices]:
    """The elements of one axis by the kind of their channels, shape (width, count) each."""
    found = {}
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        own = labels[mine]
        width = len(np.unique(own))
        found[int(kind)] = mine[np.argsort(own, kind="stable")].reshape(width, -1)
    return found


def _first(trace: Trace, channels: Channels) -> int:
    """The first output of the first producer that belongs to channels."""
    return int(channels.elements[trace.producers[channels.producers[0]]].min())


def _channels(
    trace: Trace, elements: dict[Axis, Indices], order: Mapping[ir.Node, int]
) -> Channels:
    reasons = [trace.blocked[axis.number] for axis in elements if axis.number in trace.blocked]
    width = len(next(iter(elements.values())))
    producers, readers = (
        tuple(
            sorted((node for node, axis in ends.items() if axis in elements), key=order.__getitem__)
        )
        for ends in (trace.producers, trace.readers)
    )
    reason = reasons[0] if reasons else None
    if reason is None and not readers:
        reason = "no linear operator reads them"
    elif reason is None and width == 1:
        reason = "all of them go together"
    return Channels("", elements, producers, readers, reason)


class FindChannels(ir.passes.InPlacePass):
    """Collects groups of channels between linear operators; the model is only read.

    From the outputs of linear operators on, channels are followed in both directions through
    operators that treat them one by one (see `rule`), over sums that join several operators'
    channels, concatenations that lay them side by side, and grouped convolutions that tie some of
    them together. A channel can go when

    - linear operators with constant weights of their own compute it, and others multiply by it;
    - no operator on the way computes something of all channels together, or is unknown;
    - it is neither input nor output of the model or of a subgraph;
    - nothing on the way was factorized before.

    Attributes:
        groups: What can be narrowed, in graph order.
        refused: What other linear operators compute, with the reason why it stays.
    """

    def __init__(self, original: ir.Model | None = None) -> None:
        """Initializes the pass.

        Args:
            original: The model before normalising, in which channels are to be taken out: those
                that cannot be followed there are refused.
        """
        self._original = original
        self.groups: list[ChannelGroup] = []
        self.refused: list[RefusedChannels] = []

    @asked_once
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        self.groups, self.refused = [], []
        self._model = model
        self._names = linear_names(model)
        trace, refused = follow(model, self._names)
        self._order = {node: place for place, node in enumerate(model.graph.all_nodes())}
        for node, reason in refused.items():
            if reason != COMPUTED:
                self._refuse((node,), reason)
        found: ChannelGroup | str
        widths = None if self._original is None else _widths(self._original)
        for channels in channels_of(trace, self._names):
            if widths is not None and widths.get(channels.name) != channels.width:
                found = channels.reason or "cannot be followed in the model as it stands"
            else:
                found = channels.reason or self._group(trace, channels)
            if isinstance(found, str):
                self._refuse(channels.producers, found)
            else:
                self.groups.append(found)
        return ir.passes.PassResult(model, modified=False)

    def _refuse(self, nodes: Sequence[ir.Node], reason: str) -> None:
        names = tuple(self._names[node] for node in nodes)
        refused = RefusedChannels(names[0], nodes[0].op_type, reason, names)
        if refused not in self.refused:
            self.refused.append(refused)

    def _group(self, trace: Trace, channels: Channels) -> ChannelGroup | str:
        producers, readers = channels.producers, channels.readers
        layers = {}
        for node in (*producers, *readers):
            layer = self._layer(node)
            if isinstance(layer, str):
                return f"'{self._names[node]}' {layer}"
            layers[node] = layer
        columns = [channels.elements[trace.producers[node]] for node in producers]
        between = {
            node
            for axis in channels.elements
            for node in trace.nodes.get(axis.number, {})
            if node not in layers
        }
        return ChannelGroup(
            channels.name,
            channels.width,
            columns[0].shape[1],
            tuple(layers[node] for node in producers),
            tuple(columns),
            tuple(
                Reader(layers[node], _rows(layers[node], channels.elements[trace.readers[node]]))
                for node in readers
            ),
            _places(channels),
            tuple(sorted(between, key=self._order.__getitem__)),
        )

    def _layer(self, node: ir.Node) -> Layer | str:
        spec = spec_of(node)
        if spec is None or spec.plain is None:
            return "is not normalised"
        return spec.plain.find(self._model, node, self._names[node])


def _widths(model: ir.Model) -> dict[str, int]:
    """The width of every group that can go from a model, whether it is normalised or not."""
    names = linear_names(model)
    every = channels_of(follow(model, names)[0], names)
    return {channels.name: channels.width for channels in every if channels.reason is None}


def _rows(layer: Layer, positions: Indices) -> Indices:
    """Rows of a layer's own unfolding that belong to channels."""
    geometry = layer.own.convolution
    taps = 1 if geometry is None else int(np.prod(geometry.kernel))
    rows = positions[:, :, None] * taps + np.arange(taps)
    return rows.reshape(len(positions), -1)


def _places(channels: Channels) -> tuple[Place, ...]:
    return tuple(
        Place(axis.holder.value, axis.axis, elements, axis.holder.node, axis.holder.index)
        for axis, elements in channels.elements.items()
        if isinstance(axis.holder, Use)
    )
