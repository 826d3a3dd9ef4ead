"""The command line's options, read off the fields of the dataclasses that hold them."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource

from ..allocation.forms import AUTO
from ..deployment.devices import device_names
from ..errors import InputError
from ..factorization.forms import form_names
from ..factorization.weightings import weighting_names
from ..goals.quantities import share_names
from ..options import Options, without_training
from ..options.fields import Named
from ..quantization.quantizers import Bits
from ..runtime.runtimes import runtime_names
from .grouped import Words, option

__all__ = ["by_name", "fields", "options_of"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

# What each of a repeated option's values says, `NAME=VALUE`, for a message.
_FORMS = {"outputs": "NAME=KIND", "batch_axis": "INPUT=AXIS", "mask": "INPUT=MEANING"}

# The words of options that are text to Python: the names that registries have.
_WORDS: dict[str, Callable[[], Sequence[str]]] = {
    "deploy_to": device_names,
    "form": lambda: (AUTO, *form_names()),
    "quantize": lambda: get_args(Bits),
    "runtime": runtime_names,
    "weighting": weighting_names,
}

# Those that the text of the help lists.
_LISTED: dict[str, Callable[[], Sequence[str]]] = {
    "deploy_to": device_names,
    "keep": share_names,
}

_NOT_GIVEN = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def fields(group: str, *names: str) -> Callable[[_Command], _Command]:
    """Adds options to a command, in the order of their help.

    Args:
        group: The heading over them.
        *names: Their names in Python.
    """

    def add(command: _Command) -> _Command:
        for name in reversed(names):
            command = _option(Options.names()[name], group)(command)
        return command

    return add


def options_of(given: Mapping[str, Any], **more: Any) -> Options:
    """The options that a command line gives.

    Args:
        given: What click found, by the command line's names.
        **more: What the command decides by itself.

    Raises:
        InputError: An option is wrong.
    """
    found: dict[str, Any] = {}
    training = []
    source = click.get_current_context().get_parameter_source
    for named in Options.names().values():
        value = given.get(named.alias)
        if named.part == "training" and source(named.alias) not in _NOT_GIVEN:
            training.append(named.name)
        if value is None or (named.name == "budget" and not value):
            continue
        if named.name == "state":
            value = _state(value)
        elif named.name in _FORMS:
            value = by_name(value, named.flag, _FORMS[named.name])
        found[named.name] = value
    without_training([] if given.get("finetune") else training)
    return Options.typed(**found | more)


def by_name(given: tuple[str, ...], flag: str, form: str) -> dict[str, str]:
    """Reads an option that speaks of inputs or outputs by name, each time that it was given.

    Args:
        given: Each as `NAME=VALUE`; names may contain "=", values do not.
        flag: The option, for a message.
        form: What each should be like, likewise.

    Raises:
        InputError: One is of another form.
    """
    named = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise InputError(f"--{flag} '{text}' is not of the form {form}.")
        named[name] = value
    return named


def _state(given: tuple[str, ...]) -> dict[str, str] | Literal["none"] | None:
    """Reads the states that are carried from step to step.

    Raises:
        InputError: It is not of the form IN=OUT.
    """
    if given == ("none",):
        return "none"
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, output = text.partition("=")
        if not equals or not name or not output:
            raise InputError(f"--state '{text}' is not of the form IN=OUT, nor none alone.")
        pairs[name] = output
    return pairs or None


def _option(named: Named, group: str) -> Callable[[_Command], _Command]:
    """The option that click knows."""
    kind, default = _kind(named), named.default
    listed = _LISTED.get(named.name)
    said = named.help if listed is None else str(named.help).format(words=", ".join(listed()))
    shared: dict[str, Any] = {"help": said, "metavar": named.metavar, "group": group}
    if kind is bool:
        return option(f"--{named.flag}", is_flag=True, help=said, group=group)
    if named.metavar == "FILE":
        kind = click.Path()
    if named.repeated:
        return option(f"--{named.flag}", multiple=True, type=kind, **shared)
    if named.name == "budget":
        default = None  # a guarantee wants to know whether one was given
    if isinstance(default, tuple):
        default = ",".join(str(number) for number in default)
    shown = default is not None and not named.hides_default
    return option(f"--{named.flag}", type=kind, default=default, show_default=shown, **shared)


def _kind(named: Named) -> Any:
    """The type that click is to read: numbers and listed words; all else is text."""
    if named.name in _WORDS:
        words = _WORDS[named.name]
        return Words(lambda: tuple(words()))
    union = get_origin(named.type) in (Union, types.UnionType)
    kinds = get_args(named.type) if union else (named.type,)
    kind = next(kind for kind in kinds if kind is not type(None))
    if named.closed:
        return click.Choice(get_args(kind))
    if get_origin(kind) is Literal:
        return Words(lambda: get_args(kind))
    return kind if kind in (bool, int, float) else str
