"""Messages that name options: as flags on the command line, as parameters in Python.

Messages are written for the command line. A flag may be followed by a value: one of the option's
words, a number, `NAME=VALUE`, a path or `module:callable`, a stand-in such as HEIGHTxWIDTH, or
whatever else in quotation marks.
"""

from __future__ import annotations

import contextlib
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import FactorizeError
from .fields import Named

__all__ = ["in_python", "naming_parameters"]

_FLAG = re.compile(r"(add )?--([a-z][a-z-]*[a-z])(?: (?!--)('[^']*'|\S*[^\s.,;:)]))?")
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?")
_LIKE_A_PATH = re.compile(r"[/\\]|\w[.:]\w")
_STAND_IN = re.compile(r"[A-Z]{2}")

# Options of the command line that are parameters in Python, by other names.
_ARGUMENTS = {
    "calib": "calibration",
    "shard": "shard",
    "survey": "survey",
    "sweep": "budgets",
    "use-survey": "use_survey",
}


def in_python(message: str, names: Mapping[str, Named]) -> str:
    """A message as Python says it: `max_divergence=0.1` for `--max-divergence 0.1`.

    Args:
        message: The message, for the command line.
        names: Every option by its name; other flags stay as they are.
    """
    by_flag = {named.flag: named for named in names.values()}

    def told(found: re.Match[str]) -> str:
        add, flag, value = found[1] or "", found[2], found[3]
        option = by_flag.get(flag)
        if option is None and flag not in _ARGUMENTS:
            return found[0]
        name = _ARGUMENTS[flag] if option is None else option.name
        if option is not None and option.type is bool:
            return _with(f"{add}{name}=True" if add else name, value)
        if value is None or not _is_value(value, option):
            return _with(add + name, value)
        return f"{add}{name}={_literal(value, option)}"

    return _FLAG.sub(told, message)


@contextlib.contextmanager
def naming_parameters(names: Mapping[str, Named]) -> Iterator[None]:
    """Has errors name parameters where they name flags: see `in_python`."""
    try:
        yield
    except FactorizeError as error:
        error.args = (in_python(str(error), names),)
        raise


def _with(name: str, word: str | None) -> str:
    """A name, and the word that follows it in the sentence."""
    return name if word is None else f"{name} {word}"


def _is_value(word: str, option: Named | None) -> bool:
    """Tells whether the word behind a flag is its value, and not the sentence's next word."""
    if word.startswith("'") or _LIKE_A_PATH.search(word) or _STAND_IN.match(word):
        return True
    if option is None:
        return False
    return bool("=" in word or _NUMBER.fullmatch(word) or word in _words(option.type))


def _words(kind: Any) -> list[str]:
    """The words that a type lists, those of a union's parts included."""
    parts = typing.get_args(kind)
    return [word for part in parts for word in ([part] if isinstance(part, str) else _words(part))]


def _literal(value: str, option: Named | None) -> str:
    """A value as Python writes it."""
    value = value.strip("'")
    kinds = () if option is None else (option.type, *typing.get_args(option.type))
    if int in kinds or float in kinds:
        return value
    mappings = [kind for kind in kinds if typing.get_origin(kind) is Mapping]
    if not mappings:
        return _quoted(value)
    name, _, said = value.rpartition("=")
    numbers = int in typing.get_args(typing.get_args(mappings[0])[1])
    plain = "None" if said == "none" else said
    return f"{{{_quoted(name)}: {plain if numbers else _quoted(said)}}}"


def _quoted(value: str) -> str:
    return f'"{value}"'
