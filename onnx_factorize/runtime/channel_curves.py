"""Latency of channels at every width: what shares them is timed as one model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..curve import Curve
from ..passes.narrowing import ChannelGroup, Neighbours
from .latency_cache import LatencyCache
from .latency_curve import Feeds, FeedTimer, time_fed

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
    cache: LatencyCache,
    timer: FeedTimer = time_fed,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Curve]:
    """Measures channels with all that computes, carries and reads them, narrowed together.

    An operator alone is given and gives back its values in the layout of the model, and is not
    fused with what follows; between neighbours that are timed as one, none of that counts.

    Args:
        model: The normalised model.
        groups: The channels, by name.
        widths: The widths that they may have, that of all last.
        feeds: What the model is run on: its own feeds.
        others: Bytes that are read between two runs (see `bytes_between`).
        cache: How to run the operators, and what was measured so before.
        timer: What measures.
        advance: Called after each group with 1.

    Returns:
        Name to latency by width; those that cannot be timed alone are left out.
    """
    found = {name: Neighbours.of(group, model) for name, group in groups.items()}
    whole = {name: each for name, each in found.items() if each is not None}
    crossing = sorted({value.name or "" for each in whole.values() for value in each.inputs})
    given = {name: array for name, array in feeds.items() if name in crossing}
    computed = [name for name in crossing if name not in given]
    if computed:
        given |= cache.runtime.session(model, computed).run(feeds)
    keys: set[str] = set()
    curves = {}
    try:
        for name in sorted(groups, key=lambda name: -_weights(groups[name])):
            each, wanted = whole.get(name), few_of(widths[name])
            if each is not None and wanted:
                own = {value.name or "": given[value.name or ""] for value in each.inputs}
                alone = each.alone(own, model)
                key = f"channels {_signature(alone, own, groups[name])} at {list(wanted)}"
                key += f", {others} bytes between"
                times = cache.get(key, 1 + len(wanted))
                if times is None and len(keys) < _MOST:
                    keys.add(key)
                    narrowed = each.narrowed(alone, wanted)
                    if narrowed:
                        times = timer([alone, *narrowed], own, cache.runtime, others)
                        cache.put(key, times)
                if times is not None:
                    curves[name] = Curve(times[0], wanted, tuple(times[1:]))
            advance(1)
    finally:  # a timer may end early
        cache.save()
    return curves


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
