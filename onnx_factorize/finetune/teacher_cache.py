"""A cache of the teacher's answers: a sample that comes again costs nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Arrays
from ..calibration import Batch
from ..calibration.batch import rows_of
from ..runtime.paging import owned

__all__ = ["TeacherCache", "digest"]


# Memory for answers. With more there is none of them: most would be asked for again anyway.
_MOST_BYTES = 2**29


class TeacherCache:
    """A model's answers, looked up by what a sample feeds, whatever batch it comes in."""

    def __init__(self, ask: Callable[[Batch], Arrays], most_bytes: int = _MOST_BYTES) -> None:
        """Starts with none.

        Args:
            ask: What gives the answers to a batch.
            most_bytes: Memory for them.
        """
        self._ask, self._most = ask, most_bytes
        self._answers: dict[str, Arrays] = {}

    @property
    def filled(self) -> bool:
        """Tells whether it holds answers."""
        return bool(self._answers)

    def __call__(self, batch: Batch) -> Arrays:
        """The answers to a batch."""
        keys = _keys(batch) if self._answers else []
        rows = [self._answers[key] for key in keys if key in self._answers]
        if not rows or len(rows) < batch.samples:
            return self._ask(batch)
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def fill(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Asks for all answers, in the order given, so that they are the same in every run.

        Nothing is cached if they do not fit in memory, or are not one for each sample.

        Args:
            batches: The batches.

        Yields:
            Each batch, once it is answered.
        """
        size = 0
        for batch in batches:
            answers = self._ask(batch)
            size += sum(answer.nbytes for answer in answers.values())
            if size > self._most or not self._are_rows(batch, answers):
                self._answers = {}
                return
            for row, key in enumerate(_keys(batch)):
                self._answers[key] = {name: owned(value[row]) for name, value in answers.items()}
            yield batch

    def _are_rows(self, batch: Batch, answers: Arrays) -> bool:
        """Tells whether each sample has a row of each answer, whatever others are beside it.

        Of the first batch all samples but one are asked again: an answer that looks at its whole
        batch (dynamic quantization) is another one then.
        """
        every = (*batch.feeds.values(), *answers.values())
        if batch.shared or not all(_has_rows(batch, array) for array in every):
            return False
        if self._answers or batch.samples == 1:
            return True
        others = self._ask(rows_of(batch, slice(1, None)))
        return all(_same(others[name], value[1:]) for name, value in answers.items())


def digest(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """A hash of the shapes, types and values of some arrays."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
    return found.hexdigest()


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Tells whether two arrays are equal, but for how other blocks of a product are summed."""
    if a.shape != b.shape or a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    scale = float(np.abs(b).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True))


def _has_rows(batch: Batch, array: npt.NDArray[Any]) -> bool:
    return array.ndim > 0 and len(array) == batch.samples


def _keys(batch: Batch) -> list[str]:
    """The keys of a batch's samples, from all that each feeds."""
    rows = range(batch.samples)
    return [digest(array[row] for array in batch.feeds.values()) for row in rows]
