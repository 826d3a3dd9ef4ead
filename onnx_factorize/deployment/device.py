"""A device as data: what it wants of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

__all__ = ["Device", "Quirks"]

# From a kind of nodes (see `kinds_of`) to the second half of a sentence about them.
Quirks = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Device:
    """What a device, or the runtime that serves it, wants of a model.

    Rules act where an option is left to the program; what a user says outright stands.

    Attributes:
        name: As `--deploy-to` calls it.
        title: As sentences call it.
        rank_multiple: Ranks are multiples of it, or of a multiple of it.
        forms: The forms in which convolutions may be cut; None for all. The plain one, `channel`,
            is always among them.
        identity_blocks: Whether `--factors auto` may write Split, Concat and Add between factors.
        least_channels: Operators that read or compute fewer channels stay dense.
        dense: Kinds of operators that stay dense, and why.
        refused: Kinds of nodes that it does not run, and why, to be said to the user.
        domains: Domains of operators that it runs, beside the standard one.
        oldest: The least version of the standard operators that it takes; None where none is known.
        newest: The greatest, likewise.
        open_axes: What is to be done about axes whose length a model leaves open; None for nothing.
    """

    name: str
    title: str
    rank_multiple: int = 1
    forms: tuple[str, ...] | None = None
    identity_blocks: bool = True
    least_channels: int = 1
    dense: Quirks = dataclasses.field(default_factory=dict)
    refused: Quirks = dataclasses.field(default_factory=dict)
    domains: tuple[str, ...] = ()
    oldest: int | None = None
    newest: int | None = None
    open_axes: str | None = None
