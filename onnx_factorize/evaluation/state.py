"""Models that are fed, at each step, what they gave at the step before.

A model may be a stream by its names and shapes, but only the data tell: where each sample's state
is what the dense model gives on the sample before, samples are steps of a stream for certain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ..arrays import AnyArray
from ..calibration import Batch, CalibrationData
from ..errors import InputError
from ..options import StateOption
from ..passes import FindCaches, FindState
from ..runtime.session import Runtime

__all__ = ["State", "find_state"]


# Steps that the data are judged by; of each two of them, so many must be joined.
_LOOKED_AT = 24
_JOINED = 0.5

# How near a state must be to what the step before gave.
_NEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class State:
    """The values that are carried from step to step.

    Attributes:
        pairs: Input name to the output that is its next value.
        certain: Whether the data are steps of a stream, each with the state that the dense model
            gave; else the user says so.
    """

    pairs: dict[str, str]
    certain: bool

    def begins(self, batch: Batch, before: Mapping[str, AnyArray], *, first: bool) -> bool:
        """Tells whether a step begins a stream, and so takes the state that it comes with.

        Args:
            batch: The step.
            before: What the dense model gave at the step before, with the state of the data.
            first: Whether the step is the first of its record.
        """
        if not self.certain or not before:
            return first or not before
        return not all(_near(batch.feeds[i], before[o]) for i, o in self.pairs.items())

    def carried(self, batch: Batch, before: Mapping[str, AnyArray]) -> Batch:
        """A step that takes the state that a model gave at the step before."""
        own = {given: before[back] for given, back in self.pairs.items()}
        return dataclasses.replace(batch, feeds=batch.feeds | own)


def find_state(
    dense: ir.Model, data: CalibrationData, asked: StateOption, runtime: Runtime
) -> tuple[State | None, str | None]:
    """Finds the values that the model carries from step to step, and a hint for the user, if any.

    Args:
        dense: The dense model.
        data: The calibration data.
        asked: What the user says of it.
        runtime: How to run it.

    Raises:
        InputError: The user names what is no input or output, or what does not fit.
    """
    if asked == "none":
        return None, None
    if asked:
        _check(dense, asked, data.filled)
        return State(dict(asked), certain=False), None
    pairs, alike = _pairs(dense, data.filled)
    joined = _joined(dense, data, pairs, runtime) if pairs else {}
    if joined:
        return State(joined, certain=True), None
    if not alike:
        return None, None
    options = " ".join(f"--state {i}={o}" for i, o in alike[:4])
    return None, (
        "The outputs look as if they feed inputs again, but the samples are not steps of a stream: "
        f"only single steps were verified; add {options} to verify along the data, in their order."
    )


def _pairs(
    dense: ir.Model, filled: Collection[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The pairs that may be states, and those of them whose names are alike.

    What is filled in is empty at every step, and so comes from none before. A cache is no other
    output's than its own.
    """
    state, caches = FindState(), FindCaches()
    state(dense)
    caches(dense)
    own = {cache.input: cache.output for cache in caches.caches}
    left = [(i, o) for i, o in state.pairs if i not in filled and own.get(i, o) == o]
    return left, [pair for pair in left if pair in state.alike]


def _joined(
    dense: ir.Model, data: CalibrationData, pairs: Sequence[tuple[str, str]], runtime: Runtime
) -> dict[str, str]:
    """The pairs by which samples of the data follow each other."""
    inputs = list(dict.fromkeys(i for i, _ in pairs))
    session = runtime.session(dense, list(dict.fromkeys(o for _, o in pairs)))
    matches = dict.fromkeys(pairs, 0)
    before: tuple[Batch, Mapping[str, AnyArray]] | None = None
    steps = 0
    for _, batch in data.in_order(_LOOKED_AT):
        if before is not None:
            steps += 1
            for given, back in pairs:
                found = before[1][back]
                moved = not _near(before[0].feeds[given], found)
                matches[given, back] += moved and _near(batch.feeds[given], found)
        before = batch, session.run(batch.feeds, batch.origin)
    joined: dict[str, str] = {}
    for given in inputs:
        own = {back: matches[i, back] for i, back in pairs if i == given}
        best = max(own, key=lambda back: own[back])
        if steps and own[best] >= max(1, _JOINED * steps):
            joined[given] = best
    return joined


def _near(given: AnyArray, found: AnyArray) -> bool:
    """Tells whether two states are the same but for rounding."""
    if given.shape != found.shape or not given.size:
        return False
    scale = float(np.abs(found).max())
    return bool(np.abs(given.astype(np.float64) - found).max() <= _NEAR * scale)


def _check(dense: ir.Model, asked: Mapping[str, str], filled: Collection[str]) -> None:
    """Finds what cannot be a state; what is filled in stands for the first step alone."""
    inputs = {value.name: value for value in dense.graph.inputs}
    outputs = {value.name: value for value in dense.graph.outputs}
    for given, back in asked.items():
        for what, name, known in (("input", given, inputs), ("output", back, outputs)):
            if name not in known:
                names = ", ".join(str(each) for each in known)
                raise InputError(
                    f"--state names '{name}', which is no {what} of the model; its {what}s are "
                    f"{names}."
                )
        if given in filled:
            raise InputError(
                f"--state names '{given}', which the data lack: give it for each step, with all "
                "else that the model is fed there."
            )
        if inputs[given].dtype != outputs[back].dtype:
            raise InputError(
                f"--state: the input '{given}' and the output '{back}' are of different types."
            )
