"""The weightings by name."""

from __future__ import annotations

from ...errors import InputError
from ..weighting import Weighting

__all__ = ["get_weighting", "register", "weighting_names"]

_WEIGHTINGS: dict[str, Weighting] = {}


def register(kind: type[Weighting]) -> type[Weighting]:
    """Decorates a weighting, to be found by its name from then on.

    Raises:
        ValueError: Another has that name.
    """
    if kind.name in _WEIGHTINGS and type(_WEIGHTINGS[kind.name]) is not kind:
        raise ValueError(f"there is a weighting '{kind.name}' already")
    _WEIGHTINGS[kind.name] = kind()
    return kind


def weighting_names() -> list[str]:
    """The names of all weightings."""
    return list(_WEIGHTINGS)


def get_weighting(name: str) -> Weighting:
    """The weighting of a name.

    Raises:
        InputError: There is none.
    """
    if name not in _WEIGHTINGS:
        raise InputError(f"There is no weighting '{name}'; use one of {', '.join(_WEIGHTINGS)}.")
    return _WEIGHTINGS[name]
