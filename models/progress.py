"""Progress on stderr, so that stdout holds results only."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")


def say(message: str) -> None:
    """Print one line on stderr."""
    click.echo(message, err=True)


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """Iterate over `items` behind a progress bar."""
    return rich_track(items, description=description, console=Console(stderr=True))
