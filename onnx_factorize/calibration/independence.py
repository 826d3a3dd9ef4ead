"""Tells whether rows of what a model is fed are samples of their own: found out by running it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from ..arrays import AnyArray
from ..errors import InputError
from .first_rows import rows_in

__all__ = ["Run", "Verdict", "replicated", "verdict_on"]

Run = Callable[[Mapping[str, AnyArray]], Mapping[str, Any]]

# `independent`: rows give together what they give alone. `dependent`: they do not. `one`: only one
# runs at once. `fails`: neither one nor several run. `unknown`: the outputs do not tell.
Verdict = Literal["independent", "dependent", "one", "fails", "unknown"]

# Products of other sizes are summed in another order, and quantized activations may then be off
# by a step. Rows that depend on each other differ by far more.
_TOLERANCE = 1e-2

# Constants that a graph puts where something is masked tell nothing.
_HUGE = 1e8


def verdict_on(run: Run, feeds: Mapping[str, AnyArray], shared: frozenset[str]) -> Verdict:
    """Runs the first row, the last row, and all rows, and compares.

    Args:
        run: The model.
        feeds: Two rows or more.
        shared: Names of the inputs that have no rows.
    """
    rows = rows_in(feeds, shared)
    first, last = (_row(feeds, shared, row) for row in (0, rows - 1))
    alone, together = _tried(run, first), _tried(run, feeds)
    if alone is None:
        return "fails" if together is None else "dependent"
    if together is None:
        return "one"
    other, again = _tried(run, last), _tried(run, first)
    if other is None or again is None:
        return "unknown"
    found = [
        _rows_agree(alone[name], other[name], together[name], rows)
        for name in alone
        # What is random says nothing about rows.
        if _equal(alone[name], again[name])
    ]
    if False in found:
        return "dependent"
    return "independent" if True in found else "unknown"


def replicated(run: Run, feeds: Mapping[str, AnyArray], shared: frozenset[str]) -> Verdict:
    """The same for a model that takes a fixed number of rows: all are replaced by the first."""
    rows = rows_in(feeds, shared)
    copies = {
        name: array if name in shared else np.repeat(array[:1], rows, axis=0)
        for name, array in feeds.items()
    }
    given, same, again = _tried(run, feeds), _tried(run, copies), _tried(run, copies)
    if given is None or same is None or again is None:
        return "fails"
    found = [
        any(_all_like_first(given[name], same[name], axis, rows) for axis in axes)
        for name in given
        if _equal(same[name], again[name])
        and (axes := [i for i, n in enumerate(np.shape(given[name])) if n and n % rows == 0])
    ]
    if False in found:
        return "dependent"
    # Where no output has rows, what looks like a batch is something else.
    return "independent" if found else "dependent"


def _row(feeds: Mapping[str, AnyArray], shared: frozenset[str], row: int) -> dict[str, AnyArray]:
    return {n: a if n in shared else a[row : row + 1] for n, a in feeds.items()}


def _tried(run: Run, feeds: Mapping[str, AnyArray]) -> dict[str, AnyArray] | None:
    """The outputs that are arrays; None where the model does not run on these feeds."""
    with contextlib.suppress(InputError):
        return {n: v for n, v in run(feeds).items() if isinstance(v, np.ndarray)}
    return None


def _rows_agree(first: AnyArray, last: AnyArray, together: AnyArray, rows: int) -> bool | None:
    """Tells whether an output of all rows holds those of the first and of the last alone.

    Returns:
        None where the output has no rows, and is the same in any case, or where its size depends
        on the data.
    """
    if first.shape != last.shape or first.ndim != together.ndim:
        return None
    if together.shape == first.shape:
        same = _equal(first, last) and _equal(first, together)
        return None if same else False
    axes = list(_axes_of(first.shape, together.shape, rows))
    if not axes:
        return None
    return any(
        _equal(np.split(together, rows, axis)[0], first)
        and _equal(np.split(together, rows, axis)[-1], last)
        for axis in axes
    )


def _axes_of(one: tuple[int, ...], several: tuple[int, ...], rows: int) -> Iterator[int]:
    """Yields the axes along which an output of several rows may hold that of each."""
    for axis, (a, b) in enumerate(zip(one, several, strict=True)):
        rest = one[:axis] + one[axis + 1 :] == several[:axis] + several[axis + 1 :]
        if rest and b == rows * a and a:
            yield axis


def _all_like_first(given: AnyArray, same: AnyArray, axis: int, rows: int) -> bool:
    """Tells whether all rows of an output are what the first one was among others."""
    wanted = np.split(given, rows, axis)[0]
    return all(_equal(part, wanted) for part in np.split(same, rows, axis))


def _equal(a: AnyArray, b: AnyArray) -> bool:
    """Tells whether arrays are equal, to rounding."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    x, y = a.astype(np.float64), b.astype(np.float64)
    usual = np.isfinite(x) & np.isfinite(y) & (np.abs(x) < _HUGE) & (np.abs(y) < _HUGE)
    if not np.array_equal(x[~usual], y[~usual], equal_nan=True):
        return False
    gap = float(np.linalg.norm(x[usual] - y[usual]))
    return gap <= _TOLERANCE * float(np.linalg.norm(y[usual]))
