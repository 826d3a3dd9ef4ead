"""Notes on a model that draws random numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from .session import Session

__all__ = ["Randomness", "randomness_of", "randomness_said"]

# Random nodes that are named.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Randomness:
    """The random nodes of a model.

    Attributes:
        nodes: What they are, as `RandomNormalLike 'noise'`.
        warning: A warning for the user where the runtime cannot run them; else None.
    """

    nodes: tuple[str, ...]
    warning: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report: the nodes, and whether the runtime `runs` them."""
        return {"nodes": self.nodes, "runs": self.warning is None}


def randomness_of(dense: Session) -> Randomness | None:
    """The random nodes of a model that was loaded; None where it has none."""
    if not dense.draws:
        return None
    runs = dense.runs_as_written
    return Randomness(dense.draws, None if runs else dense.runtime.cannot_draw(dense.draws[0]))


def randomness_said(nodes: Sequence[str]) -> str:
    """A line on how the random nodes of a model were treated."""
    more = " …" if len(nodes) > _NAMED else ""
    return (
        f"the model draws random numbers ({', '.join(nodes[:_NAMED])}{more}): a sample gets the "
        "same ones in every model and run, so that noise is no loss"
    )
