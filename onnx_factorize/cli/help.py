"""`--help` and `--version`, printed with the care that results are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .._version import __version__
from .printing import echo

__all__ = ["help_option", "version_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def help_option(command: _Command) -> _Command:
    """Adds `--help` and `-h`."""
    return click.help_option("-h", "--help", callback=_printed(click.Context.get_help))(command)


def version_option(command: _Command) -> _Command:
    """Adds `--version`."""
    return click.option(
        "--version",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_printed(lambda _: f"onnx-factorize, version {__version__}"),
        help="Show the version and exit.",
    )(command)


def _printed(
    text: Callable[[click.Context], str],
) -> Callable[[click.Context, click.Parameter, bool], None]:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            echo(text(ctx))
            ctx.exit()

    return show
