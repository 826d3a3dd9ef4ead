"""Labels that come with the data, in the forms in which people keep them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arrays import AnyArray
from .arrays import as_array

__all__ = ["LABEL_KEYS", "NO_LABEL", "class_numbers", "read_labels", "values_of"]


LABEL_KEYS = ("label", "labels")

# What marks a prediction without a label; any number below zero is read so.
NO_LABEL = -1


def read_labels(arrays: Mapping[str, Any], inputs: Collection[str], origin: str) -> AnyArray | None:
    """The labels among arrays, or None where there are none.

    Args:
        arrays: Name to an array or what can be made one.
        inputs: Names that are the model's inputs, and so are no labels.
        origin: Where they come from, for messages.

    Returns:
        Numbers, or texts that are no numbers.

    Raises:
        InputError: They are no array.
    """
    key = next((k for k in LABEL_KEYS if k not in inputs and arrays.get(k) is not None), None)
    if key is None:
        return None
    labels = as_array(arrays[key], f"{origin}: '{key}'")
    if labels.dtype.kind == "U":
        with contextlib.suppress(ValueError):
            return labels.astype(np.int64)
    return labels


def class_numbers(
    labels: AnyArray, shape: tuple[int, ...], axis: int
) -> npt.NDArray[np.int64] | None:
    """Labels as class numbers, one for each prediction of an output.

    Args:
        labels: Class numbers in the shape of the predictions or with further axes of length 1, or
            one-hot vectors along the class axis. What is no class, as -100 or NaN, is no label.
        shape: The output's.
        axis: Its class axis.

    Returns:
        Numbers in the output's shape without that axis, `NO_LABEL` where there is none; None where
        the labels cannot be read so.
    """
    if labels.dtype.kind not in "biuf":
        return None
    axis %= len(shape)
    predictions = (*shape[:axis], *shape[axis + 1 :])
    known = np.isfinite(labels)
    numbers = np.where(known, labels, NO_LABEL)
    if not np.array_equal(numbers, np.floor(numbers)):
        return None
    whole = numbers.astype(np.int64)
    if _without_ones(labels.shape) == _without_ones(predictions):
        flat = whole.reshape(predictions)
        return np.where(flat < 0, NO_LABEL, flat)
    if labels.shape != shape or not np.isin(whole, (0, 1)).all() or (whole.sum(axis) > 1).any():
        return None
    return np.where(whole.any(axis), whole.argmax(axis), NO_LABEL)


def values_of(labels: AnyArray, shape: tuple[int, ...]) -> AnyArray | None:
    """Labels that are values, in the shape of an output; None where they are not.

    Args:
        labels: Numbers in that shape, but for axes of length 1.
        shape: The output's.
    """
    if labels.dtype.kind not in "biuf" or _without_ones(labels.shape) != _without_ones(shape):
        return None
    return labels.reshape(shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
