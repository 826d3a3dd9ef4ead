"""Prompts, and steps behind prompts, for a decoder that has a branch for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ...arrays import AnyArray, Arrays, NamedArrays
from ..inputs.signature import Signature
from .source import Source

__all__ = ["LaterSteps"]

# One sample of so many is a step, and no more than that of all: a step is one prediction, and has
# caches of its own that are written to disk.
_OF, _MOST = 4, 32


@dataclasses.dataclass(frozen=True)
class LaterSteps:
    """Turns some samples into a last step behind the others, with the caches that these give.

    A step is one position: where a graph was traced with steps of one, longer ones may be wrong.

    Attributes:
        source: The samples, each a whole window.
        signature: What the model wants.
        run: Runs the model for its caches.
    """

    source: Source
    signature: Signature
    run: Callable[[NamedArrays], Mapping[str, Any]]

    def feeds(self, most: int) -> Iterator[Mapping[str, Any]]:
        """Yields prompts, then steps, each a feed of one sample.

        Args:
            most: How many, at most.
        """
        starts = np.concatenate([[0], np.cumsum(self.source.counts())])
        taken = min(most, int(starts[-1]))
        chosen = np.arange(taken) * int(starts[-1]) // max(1, taken)
        steps = np.zeros(taken, np.bool_)
        count = min(_MOST, -(-taken // _OF)) if taken > 1 else 0
        steps[(2 * np.arange(count) + 1) * taken // max(1, 2 * count)] = True
        for rows, later in ((chosen[~steps], False), (chosen[steps], True)):
            for row in rows:
                record = int(np.searchsorted(starts, row, "right")) - 1
                first = int(row - starts[record])
                arrays, origin = self.source.read(record, first, first + 1)
                yield self._last(arrays, origin) if later else arrays

    def _last(self, arrays: Arrays, origin: str) -> Arrays:
        """The last position of a window, behind the others."""
        fills, known = self.signature.fills, {spec.name for spec in self.signature.everything}
        whole = self.signature.conform(arrays, origin)
        lead = fills.lead or ""
        length = whole[lead].shape[1]
        if length == 1 or any(whole[name].any() for name in fills.branches):
            return arrays  # a step of its own
        given = {name: array for name, array in arrays.items() if name not in fills.names}
        before = {name: array for name, array in given.items() if name in known}
        before |= {lead: whole[lead][:, :-1]}
        back = self.run(self.signature.conform(before, origin))
        caches = {cache.input: back[cache.output] for cache in fills.caches}
        labels = {name: _end(a, length) for name, a in whole.items() if name not in known}
        branch = {name: ~whole[name] for name in fills.branches}
        return given | labels | {lead: whole[lead][:, -1:]} | branch | caches


def _end(labels: AnyArray, length: int) -> AnyArray:
    """What labels say of the last position, where they say something of each."""
    each = labels.ndim > 1 and labels.shape[1] == length
    return labels[:, -1:] if each else labels
