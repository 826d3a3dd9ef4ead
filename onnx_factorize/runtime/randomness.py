"""Notes on a model that draws random numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnxruntime as ort

from .session import Session

__all__ = ["Randomness", "randomness_of", "randomness_said"]

# Random nodes that are named.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Randomness:
    """The random nodes of a model.

    Attributes:
        nodes: What they are, as `RandomNormalLike 'noise'`.
        runs: Whether onnxruntime runs them here: from opset 22 it has no kernels for them.
    """

    nodes: tuple[str, ...]
    runs: bool

    @property
    def warning(self) -> str | None:
        """A warning for the user; None where there is none."""
        if self.runs:
            return None
        return (
            f"onnxruntime {ort.__version__} has no kernel for {self.nodes[0]} at the model's "
            "opset: the model was analysed with numbers in its place, but what is written runs in "
            "it no more than the dense model does; export to opset 21 or lower for that."
        )


def randomness_of(dense: Session) -> Randomness | None:
    """The random nodes of a model that was loaded; None where it has none."""
    return Randomness(dense.draws, dense.runs_as_written) if dense.draws else None


def randomness_said(nodes: Sequence[str]) -> str:
    """A line on how the random nodes of a model were treated."""
    more = " …" if len(nodes) > _NAMED else ""
    return (
        f"the model draws random numbers ({', '.join(nodes[:_NAMED])}{more}): a sample gets the "
        "same ones in every model and run, so that noise is no loss"
    )
