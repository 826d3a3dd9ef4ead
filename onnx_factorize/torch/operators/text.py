"""Strings, which are numpy arrays of objects."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..execution.program import Call
from ..execution.table import operator
from ._common import refuse

Text = npt.NDArray[np.object_]


@operator("StringConcat", since=20)
def _concat(a: Text, b: Text) -> Text:
    return np.asarray(np.add(a, b), object)


@operator("StringSplit", since=20)
def _split(
    x: Text, *, delimiter: str | None = None, maxsplit: int | None = None
) -> tuple[Text, Tensor]:
    """Rows are filled up with empty strings."""
    most = -1 if maxsplit is None else maxsplit
    parts = [text.split(delimiter or None, most) if text else [] for text in x.reshape(-1)]
    longest = max((len(part) for part in parts), default=0)
    rows = np.full((len(parts), longest), "", dtype=object)
    for row, part in zip(rows, parts, strict=True):
        row[: len(part)] = part
    counts = torch.tensor([len(part) for part in parts], dtype=torch.int64)
    return rows.reshape(*x.shape, longest), counts.reshape(x.shape)


@operator("StringNormalizer", since=10)
def _normalize(
    x: Text,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str = "",  # noqa: ARG001 - Python's own case mapping is that of most locales
    stopwords: Sequence[str] | None = None,
) -> Text:
    """Removes words from the last axis and changes case; nothing left is one empty string."""
    refuse(x.ndim > 1 and len(x) != 1, "several rows of words")
    changes: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}
    change = changes[case_change_action]
    stops = {word if is_case_sensitive else word.lower() for word in stopwords or ()}
    kept: list[Any] = [
        change(word)
        for word in x.reshape(-1)
        if (word if is_case_sensitive else word.lower()) not in stops
    ]
    result = np.array(kept or [""], dtype=object)
    return result[None] if x.ndim > 1 else result


@operator("TfIdfVectorizer", since=9)
def _tf_idf(
    x: Any,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_int64s: Sequence[int] | None = None,
    pool_strings: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    call: Call,
) -> Tensor:
    """Counts the n-grams of a pool, with gaps between their elements."""
    pool = list(pool_strings if pool_strings is not None else pool_int64s or ())
    grams = _grams(pool, ngram_counts)
    rows = np.asarray(x.tolist(), object)
    table = np.atleast_2d(rows)
    counts = np.zeros((len(table), max(ngram_indexes) + 1), np.float64)
    for row, total in zip(table, counts, strict=True):
        for size in range(min_gram_length, max_gram_length + 1):
            for skip in range(1, 2 + (max_skip_count if size > 1 else 0)):
                for start in range(len(row) - (size - 1) * skip):
                    gram = tuple(row[start : start + (size - 1) * skip + 1 : skip])
                    if gram in grams:
                        total[ngram_indexes[grams[gram]]] += 1
    by_column = np.ones(counts.shape[1])
    if weights is not None:
        for index, weight in zip(ngram_indexes, weights, strict=True):
            by_column[index] = weight
    if mode == "TF":
        by_column = np.ones_like(by_column)
    values = counts if mode == "TF" else (np.minimum(counts, 1) if mode == "IDF" else counts)
    values = values * by_column
    return torch.from_numpy(values[0] if rows.ndim == 1 else values).to(call.device, call.dtype(1))


def _grams(pool: Sequence[Any], starts: Sequence[int]) -> dict[tuple[Any, ...], int]:
    """Each n-gram of a pool and its place; those of one length follow each other."""
    grams: dict[tuple[Any, ...], int] = {}
    place = itertools.count()
    ends = [*starts[1:], len(pool)]
    for size, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        for at in range(start, end, size):
            grams[tuple(pool[at : at + size])] = next(place)
    return grams
