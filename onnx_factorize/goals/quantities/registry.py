"""Quantities of guarantees, by name."""

from __future__ import annotations

from typing import TypeVar

from ...errors import InputError
from ...registering import check_free
from .quantity import Quantity

__all__ = ["quantity_names", "quantity_of", "register", "share_names"]

QuantityType = TypeVar("QuantityType", bound=type[Quantity])

_QUANTITIES: dict[str, type[Quantity]] = {}


def register(quantity: QuantityType) -> QuantityType:
    """Adds a quantity under its name.

    Raises:
        ValueError: Another has that name.
    """
    check_free(_QUANTITIES, quantity, "quantity")
    _QUANTITIES[quantity.name] = quantity
    return quantity


def quantity_names() -> list[str]:
    """The names of all quantities."""
    return sorted(_QUANTITIES)


def share_names() -> list[str]:
    """The names that `--keep` takes."""
    return [name for name in quantity_names() if _QUANTITIES[name].share]


def quantity_of(metric: str) -> type[Quantity]:
    """The quantity that a metric is.

    Raises:
        InputError: There is none.
    """
    for quantity in _QUANTITIES.values():
        if quantity.takes(metric):
            return quantity
    raise InputError(
        f"--keep {metric}=…: there is no such metric; use one of {', '.join(share_names())}."
    )
