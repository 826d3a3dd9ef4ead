"""The meaning of a mask, found by running the model: padding changes nothing elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray, NamedArrays
from ..errors import InputError
from .batch import Batch
from .independence import Run
from .inputs.signature import Signature
from .mask_candidates import MASKS, Candidate, candidates, may_mask
from .masks import Padding, is_lengths

__all__ = ["found_padding"]


# Inputs that say what is padding wherever they occur.
_PADDING = re.compile(r"(attention|input|pad(ding)?|src|tgt|key|token)_?mask|^mask$", re.IGNORECASE)

# A name with one meaning everywhere. Where outputs do not tell (no position sees another), it does.
_CONVENTION = re.compile(r"(^|[._/])(attention|input)_mask$")

# An effect is none where it is so small a part of the other.
_SHARE = 0.05
_NOTHING = 1e-6

# Constants that a graph puts where something is masked have no part in an effect.
_HUGE = 1e8


def found_padding(
    signature: Signature, batches: Iterable[Batch], run: Run, left_out: Iterable[str] = ()
) -> Padding:
    """Finds the input that says what is padding, and what it means.

    Under each mask that could be, values are changed at some positions: once with all positions
    marked but these, and once with none marked but these. If numbers other than zero are data, only
    the latter changes anything elsewhere; if they are padding, only the former.

    Args:
        signature: The model's inputs.
        batches: The data.
        run: The model.
        left_out: Names of inputs that the user says are no masks.
    """
    # What is filled in marks nothing as padding.
    skipped = {*left_out, *signature.fills.names}
    specs = [s for s in signature.everything if s.name not in skipped and may_mask(s)]
    if not specs:
        return Padding()
    found: list[tuple[bool, Padding]] = []
    unclear = []
    for candidate in candidates(specs, batches, single=signature.batch in (None, 1)):
        padding = _lengths(candidate, run) if is_lengths(candidate.spec) else _mask(candidate, run)
        if padding is not None:
            found.append((_belongs(padding, candidate, run), padding))
        elif candidate.varies and _PADDING.search(candidate.spec.name):
            unclear.append(candidate.spec.name)
    if found:
        # A decoder's own mask is that of its outputs, not its encoder's.
        return next((padding for belongs, padding in found if belongs), found[0][1])
    if not unclear:
        return Padding()
    name = next((n for n in unclear if _CONVENTION.search(n)), None)
    if name is not None:
        said = (
            f"Numbers other than zero in '{name}' are taken for data by its name: the model's "
            "outputs do not tell (--mask overrules)."
        )
        return Padding(name, "keep", "name", said)
    name = unclear[0]
    said = (
        f"What is masked by '{name}' could not be told from the model's outputs, so all positions "
        f"count: --mask {name}=keep (numbers other than zero are data), drop or none."
    )
    return Padding(said=said)


def _mask(candidate: Candidate, run: Run) -> Padding | None:
    """The meaning of a mask, if the model's outputs show it."""
    name, feeds = candidate.spec.name, candidate.batch.feeds
    length = feeds[name].shape[-1]
    if candidate.marks is None or length < 3:
        return None
    within = []
    for places in _places(length):
        changed = _changed(feeds, name, length, places)
        if changed is None:
            continue
        masks = [_marking(feeds[name], places, *pair) for pair in _pairs(candidate.marks)]
        effects = [_effects(run, feeds, changed, {name: m}, length, places) for m in masks]
        if None in effects:
            continue
        (away, here), (other_away, other_here) = effects  # type: ignore[misc]
        means = _told(away, other_away)
        if means is not None:
            return _said(name, means)
        within.append(_told(here, other_here))
    # Where positions do not see each other, a mask may still hide each from its own output.
    known = {means for means in within if means is not None}
    return _said(name, known.pop()) if len(known) == 1 else None


def _lengths(candidate: Candidate, run: Run) -> Padding | None:
    """Tells whether what follows a length is padding."""
    name, feeds = candidate.spec.name, candidate.batch.feeds
    most = int(feeds[name].max(initial=0))
    long = [n for n, a in feeds.items() if n != name and a.ndim > 1 and a.shape[1] >= max(most, 3)]
    if not long:
        return None
    length = feeds[long[0]].shape[1]
    cut = length - max(1, length // 4)
    places = np.arange(cut, length)
    changed = _changed(feeds, name, length, places)
    if changed is None:
        return None
    effects = [
        _effects(run, feeds, changed, {name: np.full_like(feeds[name], n)}, length, places)
        for n in (cut, length)
    ]
    if None in effects:
        return None
    (away, here), (other_away, other_here) = effects  # type: ignore[misc]
    if (_told(away, other_away) or _told(here, other_here)) != "keep":
        return None
    said = f"Positions from '{name}' on are padding, as the model's outputs show"
    return Padding(name, "lengths", "found", f"{said} (--mask overrules).", long[0])


def _said(name: str, means: str) -> Padding:
    what = "data" if means == "keep" else "padding"
    said = f"Numbers other than zero in '{name}' are {what}, as the model's outputs show"
    return Padding(name, means, "found", f"{said} (--mask overrules).")


def _pairs(marks: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Pairs of a mask's values at places and elsewhere: a zero among marks, then the converse."""
    return (0, marks), (marks, 0)


def _places(length: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yields sets of positions: some within, which no pooling reads alone; the end; the start."""
    yield np.arange(1, 1 + max(1, length // 4))
    yield np.arange(length // 2, length)
    yield np.arange(length // 2)


def _marking(mask: AnyArray, places: npt.NDArray[np.int64], here: Any, elsewhere: Any) -> AnyArray:
    made = np.full_like(mask, elsewhere)
    made[..., places] = here
    return made


def _changed(
    feeds: NamedArrays, mask: str, length: int, places: npt.NDArray[np.int64]
) -> dict[str, AnyArray] | None:
    """The feeds with other values at some positions; None where nothing could be changed."""
    changed = {}
    for name, array in feeds.items():
        axes = [axis for axis in range(1, array.ndim) if array.shape[axis] == length]
        if not axes or name == mask or MASKS.search(name) or array.dtype.kind not in "iuf":
            continue
        axis = axes[0]
        moved = np.moveaxis(array, axis, 1).copy()
        if array.dtype.kind == "f":
            moved[:, places] = np.roll(moved, 1, axis=1)[:, places] * np.asarray(-2, array.dtype)
        else:
            pool = np.unique(array)
            at = np.searchsorted(pool, moved[:, places])
            moved[:, places] = pool[(at + max(1, len(pool) // 2)) % len(pool)]
        made = np.moveaxis(moved, 1, axis)
        if not np.array_equal(made, array, equal_nan=array.dtype.kind == "f"):
            changed[name] = np.ascontiguousarray(made)
    return changed or None


def _effects(
    run: Run,
    feeds: NamedArrays,
    changed: NamedArrays,
    mask: NamedArrays,
    length: int,
    places: npt.NDArray[np.int64],
) -> tuple[float, float] | None:
    """The change of outputs elsewhere, and at its own positions, under a mask.

    Returns:
        Each as a share of the output, the largest of all outputs; None where the model fails.
    """
    try:
        before, after = run({**feeds, **mask}), run({**feeds, **changed, **mask})
    except InputError:
        return None
    away, here = 0.0, 0.0
    for name, value in before.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        if value.shape != after[name].shape:
            continue
        own, own_after = value, after[name]
        rest, rest_after = value, after[name]
        axes = [axis for axis in range(1, value.ndim) if value.shape[axis] == length]
        for axis in axes:
            rest, rest_after = (np.delete(v, places, axis) for v in (rest, rest_after))
        away = max(away, _effect(rest, rest_after))
        if axes:
            own, own_after = (np.take(v, places, axes[0]) for v in (own, own_after))
            here = max(here, _effect(own, own_after))
    return away, here


def _effect(before: AnyArray, after: AnyArray) -> float:
    """The change as a share of what there was."""
    x, y = before.astype(np.float64), after.astype(np.float64)
    usual = np.isfinite(x) & (np.abs(x) < _HUGE)
    if not np.array_equal(usual, np.isfinite(y) & (np.abs(y) < _HUGE)):
        return 1.0
    size = float(np.linalg.norm(x[usual]))
    return float(np.linalg.norm(x[usual] - y[usual])) / size if size else 0.0


def _told(unmarked: float, marked: float) -> str | None:
    """The meaning of marks, from the effect of what is not marked and of what is."""
    if max(unmarked, marked) < _NOTHING:
        return None
    if unmarked < _SHARE * marked:
        return "keep"
    return "drop" if marked < _SHARE * unmarked else None


def _belongs(padding: Padding, candidate: Candidate, run: Run) -> bool:
    """Tells whether an output has the mask's positions."""
    batch = candidate.batch
    mask = padding.mask(batch.feeds, batch.samples)
    try:
        outputs = run(batch.feeds)
    except InputError:
        return False
    return mask is not None and any(np.shape(o)[:2] == mask.shape for o in outputs.values())
