"""The weightings by name."""

from __future__ import annotations

from ...errors import check_known
from ...registering import check_free
from ..weighting import Weighting

__all__ = ["get_weighting", "register", "weighting_names"]

_WEIGHTINGS: dict[str, Weighting] = {}


def register(kind: type[Weighting]) -> type[Weighting]:
    """Decorates a weighting, to be found by its name from then on.

    Raises:
        ValueError: Another has that name.
    """
    check_free({name: type(one) for name, one in _WEIGHTINGS.items()}, kind, "weighting")
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
    check_known(_WEIGHTINGS, name, "weighting")
    return _WEIGHTINGS[name]
