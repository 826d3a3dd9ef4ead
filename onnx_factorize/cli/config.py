"""`--config`: options from a file, which those that are typed take the place of."""

from __future__ import annotations

import difflib
import json
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ..errors import InputError
from ..foreign import reading
from .grouped import option
from .headings import FILES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["config_given", "config_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Says nothing of the result.
_UNSAID = ("config", "quiet", "verbose")


def config_option(command: _Command) -> _Command:
    """Adds `--config`, which is read before all others."""
    return option(
        "--config",
        group=FILES,
        type=click.Path(),
        metavar="FILE",
        is_eager=True,
        callback=_read_config,
        help="Options from FILE.toml (samples = 64, exclude = ['head'], outputs = {y = 'ignore'}), "
        "or those that FILE.json, a report, was made with; what is typed counts more.",
    )(command)


def config_given() -> dict[str, Any]:
    """What a command was told, by the command line or by a file, as a file may say it."""
    context = click.get_current_context()
    found = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name not in _UNSAID and source not in (None, ParameterSource.DEFAULT):
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _read_config(ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    """Makes what a file says the defaults of a command.

    Raises:
        InputError: The file cannot be read, or says what the command does not know.
    """
    if path is None or ctx.resilient_parsing:
        return path
    ctx.default_map = _defaults(ctx.command, _loaded(path), path)
    return path


def _loaded(path: str) -> Mapping[str, Any]:
    """The contents of a file."""
    file = pathlib.Path(path)
    with reading(f"{path} cannot be read"):
        if not file.is_file():
            raise InputError(f"{path} does not exist.")
        text = file.read_text(encoding="utf-8")
    try:
        found = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise InputError(f"{path} is no {kind}: {error}.") from error
    if file.suffix == ".json":
        found = found.get("config") if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise InputError(f"{path} is no report that the command line made, so it has no options.")
    return found


def _defaults(command: click.Command, found: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What a file says, by the names of click."""
    names = {str(p.name): p for p in command.params if p.name not in ("config", "help")}
    defaults = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"is it '{near[0].replace('_', '-')}'?" if near else "leave it out."
            raise InputError(f"{path} sets '{key}', which is no option of {command.name}: {hint}")
        defaults[name] = _value(value, names[name], f"'{key}' in {path}")
    return defaults


def _value(value: Any, param: click.Parameter, called: str) -> Any:
    """A value as the command line would give it.

    Raises:
        InputError: It is of another kind.
    """
    several = param.multiple if isinstance(param, click.Option) else param.nargs != 1
    if isinstance(value, dict) and several:
        return [f"{name}={_text(inner, called)}" for name, inner in value.items()]
    if isinstance(param, click.Option) and param.is_flag:
        if not isinstance(value, bool):
            raise InputError(f"{called} must be true or false.")
        return value
    if isinstance(value, list):
        if not several:
            raise InputError(f"{called} must be one value, not a list.")
        return [_text(each, called) for each in value]
    return [_text(value, called)] if several else _text(value, called)


def _text(value: Any, called: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{called} must be a text or a number.")
    return str(value)
