"""Options that are given by name, put where they belong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InputError
from .fields import Named
from .types import numbers_of, size_of

__all__ = ["by_part"]

Values = dict[str, Any]

# What is written as on the command line, and what reads it.
_READ: dict[str, Callable[[str, str], Any]] = {
    "image_mean": numbers_of,
    "image_std": numbers_of,
    "image_size": size_of,
}


def by_part(
    names: Mapping[str, Named], given: Mapping[str, Any]
) -> tuple[Values, dict[str, Values]]:
    """Options of the whole, and those of each part by their names in it.

    Args:
        names: Every option by its name.
        given: Name, or what the command line calls it, to value; single texts stand for tuples of
            one.

    Raises:
        InputError: There is no such option, it is given twice, or is no list of numbers.
    """
    aliases = {named.alias: name for name, named in names.items()}
    own: Values = {}
    parts: dict[str, Values] = {}
    for called, value in given.items():
        name = aliases.get(called, called)
        if name != called and name in given:
            raise InputError(f"Give {called} or {name}, not both: they are the same option.")
        named = names.get(name)
        if named is None:
            if name == "promise":
                own[name] = value
                continue
            raise InputError(f"There is no option '{called}'.")
        home = own if named.part is None else parts.setdefault(named.part, {})
        home[named.field] = _read(named, value)
    return own, parts


def _read(named: Named, value: Any) -> Any:
    """A value as its field holds it."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and named.default == () and named.repeated:
        return (value,)
    if isinstance(value, str) and named.name in _READ:
        return _READ[named.name](f"--{named.flag}", value)
    return value
