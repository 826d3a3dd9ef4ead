"""Progress on the command line: bars on a terminal, lines in a file."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from ..progress import Progress
from ..stages import Forecast, title_of_stage
from .encoding import escaped
from .printing import drop, printing

__all__ = ["ConsoleProgress", "open_console", "say"]

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
            parts = ", ".join(
                f"{title_of_stage(name)} about {_time(taken)}"
                for name, taken in seconds.items()
                if taken >= 1
            )
            self._print(f"{'to come':<22} {parts}")

    def say(self, line: str) -> None:
        """Says it."""
        super().say(line)
        self._print(line)

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
        said = title_of_stage(name)
        said = f"{self.budget}: {said}" if self.budget else said
        if not self._console.is_terminal:
            with self._lines(name, said, total) as advance:
                yield advance
            return
        if total is None:
            with self._console.status(said):
                yield lambda _: None
            return
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            _WholeRun(self.forecast, name),
        )
        with RichProgress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(said, total=total)
            yield lambda steps: bars.advance(task, steps)

    @contextlib.contextmanager
    def _lines(self, name: str, said: str, total: int | None) -> Iterator[Callable[[int], None]]:
        start = last = time.perf_counter()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, last
            done, now = done + steps, time.perf_counter()
            if total and done and now - last >= _EVERY:
                left = (now - start) * max(0, total - done) / done
                whole = self.forecast.left(name, now - start, done / total)
                more = "" if whole is None else f", about {_time(whole)} for the run"
                self._print(f"{said:<22} {done:,}/{total:,}, {_time(left)} left{more}")
                last = now

        yield advance
        taken = time.perf_counter() - start
        if taken >= _BRIEF:
            self._print(f"{said:<22} {_time(taken)}")

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class _WholeRun(ProgressColumn):
    """The time that the whole run has left, beside that of a stage."""

    def __init__(self, forecast: Forecast, name: str) -> None:
        super().__init__()
        self._forecast, self._name = forecast, name

    def render(self, task: Task) -> Text:
        """Says it, where it is known."""
        done = task.completed / task.total if task.total else None
        left = self._forecast.left(self._name, task.elapsed or 0.0, done)
        return Text("" if left is None else f"run: {_time(left)}", style="dim", no_wrap=True)


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
        drop(self.file)
        if not self.stderr:
            raise SystemExit(0)


def _time(seconds: float) -> str:
    return str(dt.timedelta(seconds=round(seconds)))
