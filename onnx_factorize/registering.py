"""Kinds of one thing, a file each in a folder, that are found by their names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Protocol

__all__ = ["Named", "check_free", "import_files"]


class Named(Protocol):
    """A class with the name by which its kind is found."""

    @property
    def name(self) -> str:
        """The name."""


def check_free(known: Mapping[str, object], kind: Named, what: str) -> None:
    """Refuses a name that another kind has; the same one may be added again.

    Args:
        known: Name to kind.
        kind: The kind to be added.
        what: What the kinds are kinds of.

    Raises:
        ValueError: Another has that name.
    """
    if known.get(kind.name, kind) is not kind:
        raise ValueError(f"there is a {what} '{kind.name}' already")


def import_files(package: str, folder: Iterable[str]) -> None:
    """Imports every file of a package, so that what each registers is found.

    Args:
        package: The name of the package.
        folder: Where it lies: its `__path__`.
    """
    for module in pkgutil.iter_modules(folder):
        importlib.import_module(f"{package}.{module.name}")
