"""The shapes that outputs will have, so that numbers can be fed for each of their elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from ..calibration import Batch

__all__ = ["OutputShapes"]

Shape = tuple[int, ...]
# Shapes without the axis that runs over samples.
_Key = tuple[tuple[str, Shape], ...]


class OutputShapes:
    """The shapes of outputs, by the shapes of what was fed.

    An output with a row for each sample has as many rows for each of any number of samples. What
    is expected is a guess: whoever relies on it compares it with what comes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._known: dict[tuple[_Key, int], dict[str, Shape]] = {}
        self._of_one: dict[_Key, dict[str, Shape]] = {}

    def learn(self, batch: Batch, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes note of the shapes of a batch's outputs."""
        self.note(batch, {name: values[name].shape for name in self._names})

    def note(self, batch: Batch, shapes: Mapping[str, Shape]) -> None:
        """Takes note of shapes."""
        key, samples = _key(batch), batch.samples
        self._known[key, samples] = dict(shapes)
        if all(shape and shape[0] % samples == 0 for shape in shapes.values()):
            self._of_one[key] = {n: (s[0] // samples, *s[1:]) for n, s in shapes.items()}

    def as_plain(self) -> dict[str, Any]:
        """What was noted, as JSON can hold it."""
        known = [[*key, shapes] for key, shapes in self._known.items()]
        return {"names": self._names, "known": known, "of_one": list(self._of_one.items())}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> OutputShapes:
        """The shapes that `as_plain` gave."""
        made = cls(plain["names"])
        for key, samples, shapes in plain["known"]:
            made._known[_key_of(key), samples] = _shapes_of(shapes)
        for key, shapes in plain["of_one"]:
            made._of_one[_key_of(key)] = _shapes_of(shapes)
        return made

    def expect(self, batch: Batch) -> dict[str, Shape] | None:
        """The shapes that a batch's outputs will have, if that can be told."""
        key, samples = _key(batch), batch.samples
        if (key, samples) in self._known:
            return self._known[key, samples]
        if key in self._of_one:
            return {n: (s[0] * samples, *s[1:]) for n, s in self._of_one[key].items()}
        return None


def _key(batch: Batch) -> _Key:
    """The shapes of what a batch feeds, without the axis over its samples."""
    return tuple(
        (name, array.shape[1:] if array.shape[:1] == (batch.samples,) else (-1, *array.shape))
        for name, array in batch.feeds.items()
    )


def _key_of(plain: Sequence[Any]) -> _Key:
    """A key that JSON made lists of."""
    return tuple((name, tuple(shape)) for name, shape in plain)


def _shapes_of(plain: Mapping[str, Any]) -> dict[str, Shape]:
    """Shapes that JSON made lists of."""
    return {name: tuple(shape) for name, shape in plain.items()}
