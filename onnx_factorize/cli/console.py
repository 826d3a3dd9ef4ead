"""Progress on the command line: bars on a terminal, lines in a file."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from ..errors import PrintError
from ..progress import Progress
from .encoding import escaped

__all__ = ["ConsoleProgress", "complain", "echo", "open_console", "printing", "say"]

# In a file, seconds from one line to the next; what takes less than the second has no line.
_EVERY, _BRIEF = 30.0, 2.0

# Seconds from which on it is said beforehand what stages will take.
_LONG = 10.0

# A file has no edge at which tables must be folded.
_WIDE = 160


class ConsoleProgress(Progress):
    """Shows each stage, and how long it has left where the number of steps is known."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def foresee(self, seconds: Mapping[str, float]) -> None:
        """Says it where it is worth waiting for."""
        super().foresee(seconds)
        if sum(seconds.values()) >= _LONG:
            parts = ", ".join(f"{name} about {_time(taken)}" for name, taken in seconds.items())
            self._print(f"{'to come':<22} {parts}")

    def goes_on(self, interrupt: KeyboardInterrupt) -> bool:
        """Asks where somebody can answer, and Ctrl-C it was."""
        if type(interrupt) is not KeyboardInterrupt or not self._console.is_terminal:
            return False
        if not sys.stdin.isatty():
            return False
        try:
            return click.confirm("Go on with the best plan so far?", default=True, err=True)
        except click.Abort:
            return False

    @contextlib.contextmanager
    def _shown(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        if not self._console.is_terminal:
            with self._lines(name, total) as advance:
                yield advance
            return
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        if total is None:
            with self._console.status(name):
                yield lambda _: None
            return
        with RichProgress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(name, total=total)
            yield lambda steps: bars.advance(task, steps)

    @contextlib.contextmanager
    def _lines(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        start = last = time.perf_counter()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, last
            done, now = done + steps, time.perf_counter()
            if total and done and now - last >= _EVERY:
                left = (now - start) * max(0, total - done) / done
                self._print(f"{name:<22} {done:,}/{total:,}, {_time(left)} left")
                last = now

        yield advance
        taken = time.perf_counter() - start
        if taken >= _BRIEF:
            self._print(f"{name:<22} {_time(taken)}")

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


def open_console(*, quiet: bool) -> tuple[Console, Progress]:
    """Opens a console for tables, and one for progress (stderr, so that output can be piped)."""
    if quiet:
        return _Plain(quiet=True), Progress()
    console = _Plain()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console, ConsoleProgress(_Plain(stderr=True))


def say(console: Console, *pieces: str | tuple[str, str]) -> None:
    """Prints one line, of text and of (text, style); it is folded by terminals only."""
    shown = [escaped(p) if isinstance(p, str) else (escaped(p[0]), p[1]) for p in pieces]
    console.print(Text.assemble(*shown), soft_wrap=not console.is_terminal)


def echo(text: str) -> None:
    """Prints text that another program reads."""
    with printing(sys.stdout):
        click.echo(text)


def complain(text: str) -> None:
    """Prints what went wrong, where there is somewhere to."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


class _Plain(Console):
    """A console that prints text as it is: names and paths may hold `[red]` and `:smile:`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        with printing(self.file):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Ends quietly where the reader has seen enough (`| head`): results are printed last."""
        self.quiet = True
        _drop(self.file)
        if not self.stderr:
            raise SystemExit(0)


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
        _drop(file)
        raise SystemExit(0) from None
    except OSError as error:
        _drop(file)
        raise PrintError(f"The output cannot be printed: {error.strerror}") from error


def _drop(file: IO[str]) -> None:
    """Sends what a file still holds nowhere; else Python would fail again as it leaves."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


def _time(seconds: float) -> str:
    return str(dt.timedelta(seconds=round(seconds)))
