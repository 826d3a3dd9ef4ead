"""Tells whether options given by name are of the types that they must be."""

from __future__ import annotations

import numbers
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import InputError

__all__ = ["check_types", "numbers_of", "size_of"]

# Types that a value can be checked against, and what they are called in a sentence.
_CHECKED: dict[Any, tuple[Any, str]] = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    type(None): (type(None), "None"),
    tuple: ((tuple, list), "a tuple"),
    Mapping: (Mapping, "a mapping such as {'logits': 'categorical'}"),
}


def check_types(cls: type[Any], given: Mapping[str, Any], prefix: str = "") -> None:
    """Compares fields of a dataclass with its annotations; words are left to their own checks.

    Args:
        cls: The dataclass.
        given: Field name to value.
        prefix: What the user writes before the field's name.

    Raises:
        InputError: A value is of another type.
    """
    hints = get_type_hints(cls)
    for name, value in given.items():
        hint = hints[name]
        union = get_origin(hint) in (Union, types.UnionType)
        kinds = [get_origin(one) or one for one in (get_args(hint) if union else (hint,))]
        known = [_CHECKED[_plain(kind)] for kind in kinds if _plain(kind) in _CHECKED]
        if len(known) < len(kinds) or any(_is(value, allowed) for allowed, _ in known):
            continue
        wanted = " or ".join(called for _, called in known)
        raise InputError(f"The option {prefix}{name} must be {wanted}, not {value!r}.")


def _plain(kind: Any) -> Any:
    return Mapping if isinstance(kind, type) and issubclass(kind, Mapping) else kind


def _is(value: Any, allowed: Any) -> bool:
    """Tells whether a value is of some type; True and False are no numbers."""
    return isinstance(value, allowed) and (allowed is bool or not isinstance(value, bool))


def numbers_of(name: str, text: str) -> tuple[float, ...]:
    """Reads `0.5,0.5,0.5`.

    Raises:
        InputError: It is something else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} '{text}' is not a list of numbers such as 0.5,0.5,0.5.") from None


def size_of(name: str, text: str) -> tuple[int, int]:
    """Reads `224x224`.

    Raises:
        InputError: It is something else.
    """
    height, x, width = text.partition("x")
    if not (x and height.isdecimal() and width.isdecimal()):
        raise InputError(f"{name} '{text}' is not of the form HEIGHTxWIDTH, such as 224x224.")
    return int(height), int(width)
