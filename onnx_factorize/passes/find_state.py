"""Finds outputs that may feed inputs again, from the graph alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx_ir as ir

__all__ = ["FindState"]

# What names of states differ in, before and after a step.
_TURNS = re.compile(
    r"past_key_values|past|present|previous|prev|next|new|updated|initial|init|input|output|out|in"
)
_SUFFIX = re.compile(r"(?<=[a-z])_?[n0]$")


class FindState(ir.passes.InPlacePass):
    """Pairs inputs with outputs of the same type and shape; the model is only read.

    A symbol and a length may stand for the same: only lengths that differ, and other numbers of
    axes, tell an input from an output. Whether a pair is a state is for the data to tell.

    Attributes:
        pairs: Inputs and the outputs that may be their next values, those first whose names are
            alike.
        alike: Of these, the pairs whose names differ only in what says which comes first: `state`
            and `stateN`, `h0` and `hn`, `past_1` and `present_1`.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.alike: list[tuple[str, str]] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fills `pairs`."""
        graph = model.graph
        inputs = [value for value in graph.inputs if not value.is_initializer()]
        others: list[tuple[str, str]] = []
        for given in inputs:
            for back in graph.outputs:
                if given.name == back.name or not _fits(given, back):
                    continue
                pair = (given.name or "", back.name or "")
                stem = _stem(pair[0])
                related = bool(stem) and stem == _stem(pair[1])  # "input" is no state of "output"
                (self.alike if related else others).append(pair)
        self.pairs = [*self.alike, *others]
        return ir.passes.PassResult(model, modified=False)


def _stem(name: str) -> str:
    """A name without what tells a state before a step from that after it."""
    return re.sub(r"[^a-z0-9]", "", _SUFFIX.sub("", _TURNS.sub("", name.lower())))


def _fits(given: ir.Value, back: ir.Value) -> bool:
    """Tells whether an output may be fed to an input."""
    if given.dtype is None or given.dtype != back.dtype or not given.dtype.is_floating_point():
        return False
    if given.shape is None or back.shape is None:
        return given.shape is None
    return len(given.shape) == len(back.shape) and _same(list(given.shape), list(back.shape))


def _same(a: Sequence[object], b: Sequence[object]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(x == y or not (isinstance(x, int) and isinstance(y, int)) for x, y in pairs)
