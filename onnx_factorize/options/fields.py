"""Options as fields of dataclasses: the one source of defaults, of help and of names.

The command line, `Options.of` and the signatures of the Python functions are read off the fields.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

__all__ = ["Named", "flat", "option", "part", "parts_of"]


@dataclasses.dataclass(frozen=True)
class _Shown:
    """The way an option is shown on the command line (see `option`)."""

    help: str | None
    flag: str | None
    metavar: str | None
    repeated: bool
    closed: bool
    hides_default: bool


@dataclasses.dataclass(frozen=True)
class Named:
    """An option by the one name that it has, wherever it stands.

    Attributes:
        name: Its name in Python.
        part: The field of the whole options whose part it is in; None for those of the whole.
        field: Its name in that part.
        type: Its annotation.
        default: What it is if nothing is said.
        help: The command line's help; `{words}` stands for the names that a registry has.
        flag: Its name on the command line, without dashes in front.
        metavar: What stands for its value there; None for its type.
        repeated: Whether it may be given several times there.
        closed: Whether the command line lists its words, and takes no others.
        hides_default: Whether its default is not shown there.
    """

    name: str
    part: str | None
    field: str
    type: Any
    default: Any
    help: str | None
    flag: str
    metavar: str | None
    repeated: bool
    closed: bool
    hides_default: bool

    @property
    def alias(self) -> str:
        """The command line's name of it as Python writes names."""
        return self.flag.replace("-", "_")


def option(
    default: Any,
    help: str | None = None,  # noqa: A002 - click's name for it
    *,
    flag: str | None = None,
    metavar: str | None = None,
    repeated: bool = False,
    closed: bool = False,
    hides_default: bool = False,
) -> Any:
    """A field of a dataclass of options.

    Args:
        default: What it is if nothing is said.
        help: The command line's help.
        flag: Its name on the command line, where that is not its own.
        metavar: What stands for its value there; None for its type.
        repeated: Whether it may be given several times there.
        closed: Whether the command line lists its words, and takes no others.
        hides_default: Whether its default is not shown there.
    """
    shown = _Shown(help, flag, metavar, repeated, closed, hides_default)
    metadata = {"option": shown}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def part(cls: type[Any], prefix: str = "") -> Any:
    """A field that holds a dataclass of options.

    Args:
        cls: The dataclass.
        prefix: What the names of its fields begin with, where all options are given at once.
    """
    return dataclasses.field(default_factory=cls, metadata={"part": cls, "prefix": prefix})


def flat(cls: type[Any], within: str | None = None, prefix: str = "") -> dict[str, Named]:
    """The options of a dataclass and of its parts, by name.

    Args:
        cls: The dataclass.
        within: The field that holds it, if it is a part.
        prefix: What the names of its fields begin with.
    """
    found: dict[str, Named] = {}
    hints = typing.get_type_hints(cls)
    parts = {name: (inner, before) for name, inner, before in parts_of(cls)}
    for field in dataclasses.fields(cls):
        if field.name in parts:
            inner, before = parts[field.name]
            found |= flat(inner, field.name, before)
            continue
        name = prefix + field.name
        shown = field.metadata.get("option")
        if shown is None:
            continue
        written = shown.flag or name.replace("_", "-")
        said: Mapping[str, Any] = dataclasses.asdict(shown) | {"flag": written}
        found[name] = Named(name, within, field.name, hints[field.name], _default(field), **said)
    return found


def parts_of(cls: type[Any]) -> list[tuple[str, type[Any], str]]:
    """The fields of a dataclass that hold parts: name, the part's class, prefix of its names."""
    return [
        (field.name, field.metadata["part"], field.metadata["prefix"])
        for field in dataclasses.fields(cls)
        if "part" in field.metadata
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
