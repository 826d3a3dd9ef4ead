"""Comparison along streams, with the states that the compressed model gives itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..arrays import NamedArrays
from ..calibration import Batch, CalibrationData
from ..outputs import OutputDistribution
from ..runtime.session import Session
from .agreement import OutputAgreement
from .divergences import Divergences
from .state import State

__all__ = ["MOST_STEPS", "Stream", "along_stream"]


# Steps that a model is run along, at most.
MOST_STEPS = 1024


@dataclasses.dataclass(frozen=True)
class Stream:
    """The comparison of all outputs along the streams of the data.

    Attributes:
        state: Input name to the output that is its next value.
        certain: Whether the data themselves are such streams; else the user says so.
        steps: Steps that were run.
        streams: How many of them took the state of the data, as the first of a stream.
        divergence: Sum of the outputs' divergences, in nats.
        outputs: Output name to its agreement.
    """

    state: dict[str, str]
    certain: bool
    steps: int
    streams: int
    divergence: float
    outputs: dict[str, OutputAgreement]

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        outputs = {
            name: {"divergence": found.divergence, "agreement": found.agreement}
            for name, found in self.outputs.items()
        }
        return dataclasses.asdict(self) | {"outputs": outputs}


def along_stream(
    dense: Session,
    compressed: Session,
    outputs: Mapping[str, OutputDistribution],
    data: CalibrationData,
    state: State,
    most: int = MOST_STEPS,
    advance: Callable[[int], None] = lambda _: None,
) -> Stream:
    """Runs both models along the data, each with the state that it gave at the step before.

    Args:
        dense: The dense model.
        compressed: The compressed one.
        outputs: What each output stands for.
        data: The data, in their order; calibration samples are among them.
        state: What is carried.
        most: Steps, at most.
        advance: Called after each step with its number of samples.
    """
    found = Divergences(outputs)
    steps = streams = 0
    q: NamedArrays = {}
    for batch, begins, p in _dense_steps(dense, data, state, most):
        own = batch if begins else state.carried(batch, q)
        q = compressed.run(own.feeds, own.origin)
        found.add(batch, p, q)
        steps, streams = steps + 1, streams + begins
        advance(batch.samples)
    each = {name: OutputAgreement.of(name, found) for name in found.totals}
    return Stream(dict(state.pairs), state.certain, steps, streams, found.value, each)


def _dense_steps(
    dense: Session, data: CalibrationData, state: State, most: int
) -> Iterator[tuple[Batch, bool, NamedArrays]]:
    """Yields each step, whether it begins a stream, and what the dense model gives along it."""
    before: NamedArrays = {}
    for first, batch in data.in_order(most):
        begins = state.begins(batch, before, first=first)
        # What the data hold is the state that the dense model gave, where that is certain.
        own = batch if begins or state.certain else state.carried(batch, before)
        before = dense.run(own.feeds, own.origin)
        yield batch, begins, before
