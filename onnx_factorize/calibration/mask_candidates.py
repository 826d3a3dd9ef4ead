"""Inputs that may say what is padding, each with samples to try it on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays import AnyArray
from .batch import Batch, rows_of
from .inputs.spec import InputSpec
from .masks import is_lengths

__all__ = ["MASKS", "Candidate", "candidates", "may_mask"]


MASKS = re.compile(r"mask|padding|(^|_)pad(_|$)", re.IGNORECASE)
_LENGTHS = re.compile(r"len(gth)?s?$", re.IGNORECASE)

# Samples among which one is looked for that is padded in part.
_LOOKED_AT = 1024


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An input that may say what is padding.

    Attributes:
        spec: The input.
        batch: Samples to try it on, in part padded if there are such.
        marks: The number that marks positions, other than zero.
        varies: Whether the data have both marked positions and others.
    """

    spec: InputSpec
    batch: Batch
    marks: Any
    varies: bool


def may_mask(spec: InputSpec) -> bool:
    """Tells whether an input may say what is padding."""
    if spec.dims is None or spec.dtype.kind not in "biuf":
        return False
    if is_lengths(spec):
        return bool(_LENGTHS.search(spec.name))
    dims = spec.dims[1:-1]
    alike = all(d == 1 or isinstance(d, str) or d is None or d == spec.dims[-1] for d in dims)
    return 2 <= len(spec.dims) <= 4 and alike and bool(MASKS.search(spec.name))


def candidates(
    specs: Sequence[InputSpec], batches: Iterable[Batch], *, single: bool
) -> Iterator[Candidate]:
    """Yields each input with samples that it marks in part, where there are such."""
    first: Batch | None = None
    padded: dict[str, Batch] = {}
    marks: dict[str, Any] = {}
    seen = 0
    for batch in batches:
        first = first or batch
        for spec in specs:
            array = batch.feeds.get(spec.name)
            if array is None or spec.name in padded:
                continue
            if array.any() and spec.name not in marks:
                marks[spec.name] = array.reshape(-1)[np.abs(array.astype(float)).argmax()]
            row = _marked_in_part(array)
            if row is not None:
                rows = single and row < batch.samples == len(array)
                padded[spec.name] = rows_of(batch, slice(row, row + 1)) if rows else batch
        seen += batch.samples
        if len(padded) == len(specs) or seen >= _LOOKED_AT:
            break
    if first is not None and single and first.samples > 1:
        first = rows_of(first, slice(0, 1))  # where none is padded, one is as good as many
    for spec in specs:
        sample = padded.get(spec.name, first)
        if sample is None or spec.name not in sample.feeds:
            continue
        usual = None if spec.dtype.kind == "f" else 1
        yield Candidate(spec, sample, marks.get(spec.name, usual), spec.name in padded)


def _marked_in_part(array: AnyArray) -> int | None:
    """The first row that holds both zeros and other numbers, if any."""
    marked = (array != 0).reshape(len(array), -1)
    rows = np.flatnonzero(marked.any(axis=1) & ~marked.all(axis=1))
    return int(rows[0]) if len(rows) else None
