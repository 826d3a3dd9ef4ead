"""What a model answers to each sample, kept: a sample that comes again costs nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..calibration import Batch

__all__ = ["Remembered"]

Answers = dict[str, npt.NDArray[Any]]

# Memory for answers. With more there is none of them: most would be asked for again anyway.
_MOST_BYTES = 2**29


class Remembered:
    """A model's answers, looked up by what a sample feeds, whatever batch it comes in."""

    def __init__(self, ask: Callable[[Batch], Answers], most_bytes: int = _MOST_BYTES) -> None:
        """Starts with none.

        Args:
            ask: What gives the answers to a batch.
            most_bytes: Memory for them.
        """
        self._ask, self._most = ask, most_bytes
        self._known: dict[bytes, Answers] = {}

    def __call__(self, batch: Batch) -> Answers:
        """The answers to a batch."""
        keys = _keys(batch) if self._known else []
        rows = [self._known[key] for key in keys if key in self._known]
        if not rows or len(rows) < batch.samples:
            return self._ask(batch)
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def learn(self, batches: Iterable[Batch], advance: Callable[[int], None]) -> None:
        """Asks for all answers, in the order given, so that they are the same in every run.

        Nothing is kept if they do not fit in memory, or are not one for each sample.

        Args:
            batches: The batches.
            advance: Called after each batch with its number of samples.
        """
        size, able = 0, True
        for batch in batches:
            if able:
                answers = self._ask(batch)
                size += sum(answer.nbytes for answer in answers.values())
                able = size <= self._most and self._are_rows(batch, answers)
                for row, key in enumerate(_keys(batch) if able else []):
                    self._known[key] = {name: value[row] for name, value in answers.items()}
            advance(batch.samples)
        if not able:
            self._known = {}

    def _are_rows(self, batch: Batch, answers: Answers) -> bool:
        """Whether axis 0 of each answer runs over the samples; asked again where it is unclear."""
        if not all(_has_rows(batch, array) for array in (*batch.feeds.values(), *answers.values())):
            return False
        if self._known or batch.samples == 1:
            return True
        feeds = {name: array[1:] for name, array in batch.feeds.items()}
        others = self._ask(Batch(feeds, batch.samples - 1, None, batch.origin))
        return all(others[name].shape == value[1:].shape for name, value in answers.items())


def _has_rows(batch: Batch, array: npt.NDArray[Any]) -> bool:
    return array.ndim > 0 and len(array) == batch.samples


def _keys(batch: Batch) -> list[bytes]:
    """What tells the samples of a batch apart: a hash of all that each feeds."""
    keys = []
    for row in range(batch.samples):
        digest = hashlib.blake2b(digest_size=16)
        for array in batch.feeds.values():
            own = array[row]
            digest.update(repr((own.shape, own.dtype.str)).encode())
            digest.update(repr(own.tolist()).encode() if own.dtype.hasobject else own.tobytes())
        keys.append(digest.digest())
    return keys
