"""Arrays from whatever a program holds: lists, numbers, texts, tensors of any library."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from ...arrays import AnyArray
from ...errors import InputError
from ...foreign import attempt, reading

__all__ = ["RaggedError", "as_array", "converted"]


# Types of numbers that numpy has none of its own for come from this package.
_BFLOAT16 = "bfloat16"


class RaggedError(InputError):
    """Rows of one array have different lengths."""


def as_array(value: Any, where: str) -> AnyArray:
    """The value as a numpy array of numbers, booleans or texts.

    Args:
        value: An array, a tensor of torch (with a gradient, on a device, in bfloat16) or of
            another library, a number, a text, or lists of them.
        where: What it is, for messages.

    Raises:
        RaggedError: It is a list of rows of different lengths.
        InputError: It is nothing of the kind.
    """
    if value is None:
        raise InputError(f"{where} is None; give an array.")
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, list | tuple):
        found = attempt(lambda: np.asarray(_detached(value)))
        if found is None:
            return _stacked(value, where)
        array = found
    else:
        with reading(f"{where} cannot be read as an array"):
            array = np.asarray(_detached(value))
    if array.dtype.kind == "O":
        array = _without_objects(array, where)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind not in "biufcUV":
        raise InputError(f"{where} is {array.dtype}; give numbers, booleans or texts.")
    return array


def _detached(value: Any) -> Any:
    """A torch tensor as one that numpy can read; anything else as it is."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return value.float() if str(value.dtype).endswith(_BFLOAT16) else value


def _stacked(values: list[Any] | tuple[Any, ...], where: str) -> AnyArray:
    """Arrays in a list as one."""
    arrays = [as_array(value, where) for value in values]
    lengths = sorted({array.shape for array in arrays})
    if len(lengths) > 1:
        raise RaggedError(
            f"{where} has rows of different shapes, {list(lengths[0])} and {list(lengths[-1])}; "
            "pad them to one, or give each row as a feed of its own."
        )
    return np.stack(arrays)


def _without_objects(array: AnyArray, where: str) -> AnyArray:
    """An array of Python objects as one of numbers, or of texts."""
    objects = array.reshape(-1).tolist()
    if all(isinstance(each, str) for each in objects):
        return array.astype(np.str_)
    if any(each is None for each in objects):
        raise InputError(f"{where} holds None; give a number or a text in its place.")
    with contextlib.suppress(ValueError, TypeError):
        plain = np.array(objects)
        if plain.dtype.kind in "biuf" and plain.ndim == 1:
            return plain.reshape(array.shape)
    if array.ndim == 1 and not any(isinstance(each, str) for each in objects):
        return _stacked(objects, where)
    raise InputError(f"{where} holds Python objects; give numbers, booleans or texts.")


def converted(array: AnyArray, wanted: np.dtype[Any], where: str, describe: str) -> AnyArray:
    """The array in the type of an input, where that changes none of its values.

    Args:
        array: The array.
        wanted: The input's type.
        where: What the array is, for messages.
        describe: What the input is, for messages.

    Raises:
        InputError: It is of another kind, or its values do not fit.
    """
    if array.dtype == wanted or (array.dtype.kind == "U" and wanted.kind == "U"):
        return array
    if array.dtype.name.startswith("void") and array.dtype.itemsize == wanted.itemsize:
        # A file does not tell types of numbers apart that numpy has none of its own for.
        return array.view(wanted)
    if not _convertible(array.dtype, wanted):
        raise InputError(
            f"{where} is {array.dtype}, but the model wants {describe}; convert the "
            "data as the model was trained (an image, for example, must be scaled)."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        found = array.astype(wanted)
    if wanted.kind in "iub":
        fits = np.array_equal(found, array)
    else:
        fits = np.array_equal(np.isinf(found), np.isinf(array))
    if not fits:
        raise InputError(f"{where} has values that do not fit into {wanted}.")
    return found


def _convertible(have: np.dtype[Any], want: np.dtype[Any]) -> bool:
    if want.kind == "f" or want.name == _BFLOAT16:
        return have.kind == "f" or have.name == _BFLOAT16
    # Masks are booleans to some, and zeros and ones to others.
    return have.kind == want.kind or (want.kind in "iub" and have.kind in "iub")
