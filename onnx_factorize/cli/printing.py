"""Text on standard output and error, with what may go wrong there said in a sentence."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO

import click

from ..errors import PrintError

__all__ = ["complain", "drop", "echo", "printing"]


def echo(text: str) -> None:
    """Prints text that another program reads."""
    with printing(sys.stdout):
        click.echo(text)


def complain(text: str) -> None:
    """Prints what went wrong, where there is somewhere to."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


@contextlib.contextmanager
def printing(file: IO[str]) -> Iterator[None]:
    """Says in one sentence that printing fails; a reader that has seen enough is no failure.

    Raises:
        PrintError: The disk under the output is full, say.
        SystemExit: Nobody reads any more.
    """
    try:
        yield
    except BrokenPipeError:
        drop(file)
        raise SystemExit(0) from None
    except OSError as error:
        drop(file)
        raise PrintError(f"The output cannot be printed: {error.strerror}") from error


def drop(file: IO[str]) -> None:
    """Sends what a file still holds nowhere; else Python would fail again as it leaves."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)
