"""The first rows of the data, as the model may be tried on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Arrays, NamedArrays
from ..errors import InputError
from ..passes import DRAWS
from .inputs.signature import Signature

__all__ = ["first_rows", "fitted", "keyed", "rows_in", "several"]


def several(candidate: Signature, heads: Sequence[Arrays], most: int) -> Arrays | None:
    """Two rows or more that the model may be run on; None where there are none."""
    shared = candidate.shared
    found = [f for f in (fitted(candidate, head) for head in heads) if f is not None]
    if not found:
        return None
    first = found[0]
    if rows_in(first, shared) > 1:
        return first_rows(first, shared, most)
    for other in found[1:]:
        if first.keys() == other.keys() and all(
            np.array_equal(first[n], other[n])
            if n in shared
            else first[n].shape[1:] == other[n].shape[1:]
            for n in first
        ):
            return {
                n: a if n in shared else np.concatenate([a[:1], other[n][:1]])
                for n, a in first.items()
            }
    return _with_other_row(first, shared)


def keyed(signature: Signature, feeds: Arrays) -> Arrays:
    """The feeds with a key for each row, where the model draws random numbers by them."""
    return (
        feeds | {DRAWS: np.arange(rows_in(feeds, signature.shared))} if signature.draws else feeds
    )


def first_rows(feeds: Arrays, shared: frozenset[str], rows: int) -> Arrays:
    """The first rows of what is not shared, and all that is."""
    return {name: a if name in shared else a[:rows] for name, a in feeds.items()}


def fitted(signature: Signature, head: Arrays) -> Arrays | None:
    """A record as the model is fed it, without labels; None where it does not fit."""
    names = {spec.name for spec in signature.everything}
    try:
        fitted = signature.conform(head, "the data")
    except InputError:
        return None
    return {name: array for name, array in fitted.items() if name in names}


def rows_in(feeds: NamedArrays, shared: frozenset[str]) -> int:
    """The number of rows along axis 0 of what is not shared."""
    return min(len(array) for name, array in feeds.items() if name not in shared)


def _with_other_row(feeds: NamedArrays, shared: frozenset[str]) -> Arrays | None:
    """One row and another made of it, whose values are the same in another order.

    Returns:
        Two rows; None where all values are the same, so that there is no other.
    """
    others = {}
    for name, array in feeds.items():
        if name in shared:
            continue
        other = np.roll(array, 1, axis=-1) if array.ndim > 1 else array
        if np.array_equal(other, array) and array.dtype.kind == "f":
            other = array * np.asarray(0.5, array.dtype)
        others[name] = other
    if all(np.array_equal(other, feeds[name]) for name, other in others.items()):
        return None
    return {
        name: array if name in shared else np.concatenate([array, others[name]])
        for name, array in feeds.items()
    }
