"""Moments of what targets read, whichever side they are observed on otherwise."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping, Sequence

from ..parallel import in_parallel
from ..passes import Target
from .moments import Moments
from .observation import Observation
from .row_buffer import RowBuffers

__all__ = ["ROWS_A_DIMENSION", "InputMoments", "InputSums", "merged_moments"]

# Target name to the moments of its input; targets that read one value share them.
InputMoments = Mapping[str, Moments]

# Rows wanted for each dimension of a moment, and places of an image to look at, at least.
ROWS_A_DIMENSION = 8
_PLACES = 16


class InputSums:
    """Sums the moments of what targets read, batch after batch."""

    def __init__(self, readers: Sequence[Target], samples: int) -> None:
        """Begins with no data.

        Args:
            readers: The targets, in their own unfoldings.
            samples: The samples that will be seen, those of other folds among them.
        """
        self._keys: dict[str, Hashable] = {
            each.name: (each.x.name, each.convolution, each.groups) for each in readers
        }
        pairs = zip(readers, self._keys.values(), strict=True)
        self._first = {key: each for each, key in reversed(list(pairs))}
        self._places = {
            key: max(_PLACES, math.ceil(ROWS_A_DIMENSION * each.rows / samples))
            for key, each in self._first.items()
        }
        self._sums = {k: Moments.empty(t.groups, t.rows) for k, t in self._first.items()}
        self._waiting = RowBuffers()

    def add(self, seen: Observation) -> None:
        """Adds a batch that shows inputs."""

        def add(key: Hashable) -> None:  # no two share what is added to
            rows = seen.signal(self._first[key], self._places[key])
            if rows is not None:
                self._waiting.add(key, self._sums[key].add, rows)

        deque(in_parallel(add, [k for k in self._sums if seen.shows(self._first[k])]), 0)

    @property
    def moments(self) -> InputMoments:
        """Those of each target."""
        self._waiting.flush()
        return {name: self._sums[key] for name, key in self._keys.items()}


def merged_moments(parts: Sequence[InputMoments]) -> InputMoments:
    """The moments of all samples together; the parts stay as they are."""
    made: dict[int, Moments] = {}
    for name in parts[0]:
        own = parts[0][name]
        if id(own) not in made:
            made[id(own)] = Moments.empty(*own.total.shape)
            for part in parts:
                made[id(own)].merge(part[name])
    return {name: made[id(own)] for name, own in parts[0].items()}
