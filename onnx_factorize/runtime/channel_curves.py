"""Latency of channels at every width: what shares them is timed as one model."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..curve import Curve
from ..passes.narrowing import ChannelGroup, Neighbours
from .latency_source import Family, Feeds, LatencySource
from .session import Runtime

__all__ = ["few_of", "measure_channels"]

# Widths that are measured, that of all channels beside them.
_POINTS = 6

# Groups that are measured at most, alike ones once: those of the largest weights.
_MOST = 64


def few_of(widths: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Chooses the widths to measure among those below that of all: evenly spaced, both ends."""
    smaller = widths[:-1]
    if not len(smaller):
        return ()
    chosen = np.linspace(0, len(smaller) - 1, min(_POINTS, len(smaller))).round().astype(np.int64)
    return tuple(int(width) for width in np.unique(smaller[chosen]))


def measure_channels(
    model: ir.Model,
    groups: Mapping[str, ChannelGroup],
    widths: Mapping[str, npt.NDArray[np.int64]],
    feeds: Feeds,
    others: int,
    source: LatencySource,
    runtime: Runtime,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Curve]:
    """Curves of channels with all that computes, carries and reads them, narrowed together.

    An operator alone is given and gives back its values in the layout of the model, and is not
    fused with what follows; between neighbours that are timed as one, none of that counts.

    Args:
        model: The normalised model.
        groups: The channels, by name.
        widths: The widths that they may have, that of all last.
        feeds: What the model is run on: its own feeds.
        others: Bytes that are read between two runs (see `bytes_between`).
        source: Who tells latencies.
        runtime: What runs the model, to see what crosses into neighbours.
        advance: Called after each group with 1.

    Returns:
        Name to latency by width; those of which nobody can tell it are left out.
    """
    found = {name: Neighbours.of(group, model) for name, group in groups.items()}
    whole = {name: each for name, each in found.items() if each is not None}
    crossing = _Crossing(model, feeds, list(whole.values()), runtime)
    curves = {}
    told: set[str] = set()
    try:
        for name in sorted(groups, key=lambda name: -_weights(groups[name])):
            each, wanted = whole.get(name), few_of(widths[name])
            if each is not None and wanted:
                family = _family(name, each, wanted, crossing, others)
                if source.measures:
                    told.add(family.key)
                curve = source.curve(family) if len(told) <= _MOST else None
                if curve is not None:
                    curves[name] = curve
            advance(1)
    finally:  # a timer may end early
        source.save()
    return curves


@dataclasses.dataclass(frozen=True)
class _Crossing:
    """What crosses into neighbours, where anybody asks.

    Attributes:
        model: The normalised model.
        feeds: What it is run on.
        neighbours: All that may be asked for.
        runtime: What runs it.
    """

    model: ir.Model
    feeds: Feeds
    neighbours: Sequence[Neighbours]
    runtime: Runtime

    def into(self, each: Neighbours) -> Feeds:
        """The arrays that some neighbours read of the rest, by name."""
        return {value.name or "": self._values[value.name or ""] for value in each.inputs}

    @functools.cached_property
    def _values(self) -> Feeds:
        crossing = sorted({value.name or "" for each in self.neighbours for value in each.inputs})
        given = {name: array for name, array in self.feeds.items() if name in crossing}
        computed = [name for name in crossing if name not in given]
        if computed:
            given |= self.runtime.session(self.model, computed).run(self.feeds)
        return given


def _family(
    name: str, each: Neighbours, widths: tuple[int, ...], crossing: _Crossing, others: int
) -> Family:
    """Neighbours with all of their channels, and with fewer."""

    @functools.cache
    def alone() -> ir.Model:
        return each.alone(crossing.into(each), crossing.model)

    def build() -> list[ir.Model]:
        narrowed = each.narrowed(alone(), widths)
        return [alone(), *narrowed] if narrowed else []

    def describe() -> str:
        return f"channels {_signature(alone(), crossing.into(each), each.group)}"

    feed = functools.partial(crossing.into, each)
    return Family(f"{name} narrowed", widths, describe, build, feed, others)


def _weights(group: ChannelGroup) -> int:
    """The number of weights that belong to some channels."""
    values = {place.value for place in group.places}
    return sum(int(np.prod(v.shape.numpy())) for v in values if v.shape is not None)


def _signature(alone: ir.Model, feeds: Mapping[str, npt.NDArray[Any]], group: ChannelGroup) -> str:
    """A digest of what decides the latency of neighbours: operators, shapes, and what is narrow."""
    numbers: dict[ir.Value | None, str] = {None: "-"}
    for number, value in enumerate(alone.graph.inputs):
        array = feeds[value.name or ""]
        numbers[value] = f"x{number}:{array.dtype}{list(array.shape)}"
    lines = []
    for number, node in enumerate(alone.graph):
        read = [numbers.get(value) or _constant(value) for value in node.inputs]
        attributes = sorted(f"{a.name}={a.value}" for a in node.attributes.values())
        lines.append(f"{node.domain}:{node.op_type}({', '.join(attributes)}) {read}")
        numbers |= {value: f"{number}.{index}" for index, value in enumerate(node.outputs)}
    lines.append(str([numbers[value] for value in alone.graph.outputs]))
    places = sorted((str(place.axis), len(place.positions), place.index) for place in group.places)
    text = "\n".join([*lines, f"{group.width} of {group.unit}", str(places)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _constant(value: ir.Value | None) -> str:
    """A constant by its type and shape, and by its contents where they are integers."""
    assert value is not None
    tensor = value.const_value
    if tensor is None:
        return str(value.name)
    contents = tensor.numpy().tolist() if tensor.dtype.is_integer() else ""
    return f"{tensor.dtype}{list(tensor.shape)}{contents}"
