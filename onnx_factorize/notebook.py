"""Progress in notebooks: one line with a bar, in the output of the cell."""

from __future__ import annotations

import contextlib
import datetime as dt
import html
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from .progress import Progress
from .stages import title_of_stage

__all__ = ["NotebookProgress", "usual_progress"]

# Seconds from one look of the line to the next.
_EVERY = 0.2


def usual_progress() -> Progress:
    """What a function tells how far it is, where its caller does not say: a notebook shows it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # A kernel has a front end that draws; a shell in a terminal has none.
    return NotebookProgress() if getattr(shell, "kernel", None) is not None else Progress()


class NotebookProgress(Progress):
    """Shows the stage at hand, how far it is, and what the run has left, in one line of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    @contextlib.contextmanager
    def _shown(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        said = title_of_stage(name)
        said = f"{self.budget}: {said}" if self.budget else said
        start = time.perf_counter()
        done, last = 0, start
        self._show(said, done, total, None)

        def advance(steps: int) -> None:
            nonlocal done, last
            done, now = done + steps, time.perf_counter()
            if now - last >= _EVERY:
                share = done / total if total else None
                self._show(said, done, total, self.forecast.left(name, now - start, share))
                last = now

        try:
            yield advance
        finally:
            self._show("", 0, None, None)

    def _show(self, said: str, done: int, total: int | None, left: float | None) -> None:
        """Puts a line in the place of the one before; an empty one where nothing is going on."""
        from IPython.display import HTML, display  # noqa: PLC0415 - there in notebooks

        bar, count = "", ""
        if total:
            bar = f'<progress value="{done}" max="{total}" aria-label="{html.escape(said)}">'
            bar += "</progress> "
            count = f" {done:,}/{total:,}"
        rest = "" if left is None else f", about {dt.timedelta(seconds=round(left))} for the run"
        line = HTML(f"<span>{bar}{html.escape(said)}{count}{rest}</span>" if said else "")
        if self._handle is None:
            self._handle = display(line, display_id=True)
        else:
            self._handle.update(line)
