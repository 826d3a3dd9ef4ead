"""What is printed of models that choose, that feed themselves, and that draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from ..runtime.randomness import randomness_said
from .console import say

__all__ = ["print_notes"]


def print_notes(
    console: Console,
    selection: Mapping[str, Any] | None,
    stream: Mapping[str, Any] | None,
    single: float,
    random: Sequence[str] | None,
) -> None:
    """Says how outputs behind a selection, states and random numbers were treated.

    Args:
        console: Where to.
        selection: The section of the report; None where nothing is selected.
        stream: The section of the report; None where there is no state.
        single: The divergence of single steps.
        random: The random nodes; None where there are none.
    """
    if selection is not None:
        say(console, f"  {selection['said']}")
    if stream is not None:
        pairs = ", ".join(f"{back} to {given}" for given, back in stream["state"].items())
        why = "the data are steps of a stream" if stream["certain"] else "--state"
        say(
            console,
            f"  along the stream ({pairs}: {why}): divergence {stream['divergence']:.4g} nats with "
            f"the states that the result gives itself, {single:.4g} in single steps "
            f"({stream['steps']:,} steps, {stream['streams']:,} of them the first of a stream)",
        )
    if random:
        say(console, f"  {randomness_said(random)}")
