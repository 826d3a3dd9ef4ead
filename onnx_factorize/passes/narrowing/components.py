"""Connected components of elements of axes: what must go together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .group import Indices

__all__ = ["components", "signatures"]


def components(size: int, one: Indices, other: Indices) -> Indices:
    """The component of each of so many elements, by the number of its first one.

    Args:
        size: The number of elements.
        one: Elements that are joined, shape (links,).
        other: Those that they are joined to.

    Example:
        >>> components(4, np.array([0, 3]), np.array([2, 2])).tolist()
        [0, 1, 0, 0]
    """
    labels = np.arange(size, dtype=np.int64)
    while True:
        left, right = labels[one], labels[other]
        if np.array_equal(left, right):
            return labels
        np.minimum.at(labels, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(labels, shorter := labels[labels]):
            labels = shorter


def signatures(labels: Indices, starts: Sequence[int]) -> Indices:
    """A number for each element that components share which lie alike.

    Two components lie alike if they have as many elements in each of the axes.

    Args:
        labels: The component of each element, by the number of its first one.
        starts: The first element of each axis, and the number of elements.
    """
    found = np.zeros(len(labels), np.int64)
    known: dict[tuple[int, int, int], int] = {}
    seen: set[bytes] = set()
    for axis, (start, end) in enumerate(itertools.pairwise(starts)):
        own = labels[start:end]
        if own.tobytes() in seen:
            continue  # it tells nothing that the other axis did not
        seen.add(own.tobytes())
        touched, counts = np.unique(own, return_counts=True)
        longest = int(counts.max(initial=0)) + 1
        pairs, which = np.unique(found[touched] * longest + counts, return_inverse=True)
        names = [
            known.setdefault((*divmod(int(pair), longest), axis), len(known) + 1) for pair in pairs
        ]
        found[touched] = np.array(names, np.int64)[which]
    return found[labels]
