"""Notes on data, and on models that choose, that feed themselves, and that draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .runtime.randomness import randomness_said

__all__ = ["CHANGED", "notes_of", "stream_said"]

# The status of operators that are not what they were.
CHANGED = ("factorized", "narrowed")


def notes_of(
    data: Mapping[str, Any],
    selection: Mapping[str, Any] | None,
    caches: Mapping[str, Any] | None,
    stream: str | None,
    random: Sequence[str] | None,
) -> list[str]:
    """Notes on how data, outputs behind a selection, states and random numbers were treated.

    Args:
        data: The section of the report.
        selection: The section of the report; None where nothing is selected.
        caches: The section of the report; None where no output only feeds caches.
        stream: What is said of the stream; None where there is no state.
        random: The random nodes; None where there are none.

    Returns:
        A line each, where that is not plain.
    """
    lines = [part["said"] for part in data.values() if part["said"] is not None]
    lines += [part["said"] for part in (selection, caches) if part is not None]
    if stream is not None:
        lines.append(stream)
    if random:
        lines.append(randomness_said(random))
    return lines


def stream_said(stream: Mapping[str, Any] | None, single: float | None) -> str | None:
    """The sentence on how a model does along a stream; None where there is no state.

    Args:
        stream: The section of the report.
        single: The divergence of single steps; None if it is not finite.
    """
    if stream is None:
        return None
    pairs = ", ".join(f"{back} to {given}" for given, back in stream["state"].items())
    why = "the data are steps of a stream" if stream["certain"] else "--state"
    along, step = (
        "not finite" if value is None else f"{value:.4g}"
        for value in (stream["divergence"], single)
    )
    return (
        f"along the stream ({pairs}: {why}): divergence {along} nats with the states that the "
        f"result gives itself, {step} in single steps ({stream['steps']:,} steps, "
        f"{stream['streams']:,} of them the first of a stream)"
    )
