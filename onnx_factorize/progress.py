"""Progress of a long computation."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from .stages import Forecast

__all__ = ["Progress"]

_LOGGER = logging.getLogger("onnx_factorize")


class Progress:
    """Times the stages of a run; this one only logs them (see `console.ConsoleProgress`).

    Attributes:
        seconds: Time spent in each stage so far.
        ended_by: By what the search for ranks is ended early, if it is: `time` or `interrupt`.
        late: Whether the time is over in which ranks were to be chosen.
        budget: The budget at hand, where there are several; empty else.
        forecast: What is still to come.

    Example:
        >>> from onnx_factorize import Progress
        >>> progress = Progress()
        >>> with progress.stage("measure", total=2) as advance:
        ...     advance(2)
        >>> list(progress.seconds)
        ['measure']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._until = math.inf
        self.ended_by = "time"
        self.budget = ""
        self.forecast = Forecast()

    def end_search(self) -> None:
        """Ends the search for ranks now, and those that would follow, as the user wants it."""
        self._until, self.ended_by = -math.inf, "interrupt"

    def limit(self, seconds: float | None) -> None:
        """Gives the search for ranks so much time from now on; None for as much as it takes."""
        self._until = math.inf if seconds is None else time.perf_counter() + seconds
        self.ended_by = "time"

    @property
    def late(self) -> bool:
        """Tells whether that time is over."""
        return time.perf_counter() > self._until

    def foresee(self, seconds: Mapping[str, float]) -> None:
        """Tells what stages to come will take, in seconds, within a factor of about two."""
        parts = ", ".join(f"{name} {taken:.1f} s" for name, taken in seconds.items())
        _LOGGER.info("to come: %s", parts)
        self.forecast.expect(seconds)

    @contextlib.contextmanager
    def one_budget(self, budget: str, more: int | None) -> Iterator[None]:
        """Says which of several budgets is at hand.

        Args:
            budget: The budget.
            more: How many follow it; None where nobody knows.
        """
        before, self.budget = self.budget, self.budget or budget
        if more is None:
            self.forecast.is_open = True
        else:
            self.forecast.more = more
        try:
            yield
        finally:
            self.budget = before

    def say(self, line: str) -> None:
        """Says how something is done that may take long."""
        _LOGGER.info("%s", line)

    def goes_on(self, interrupt: KeyboardInterrupt) -> bool:  # noqa: ARG002 - for those that ask
        """Asks whether a run that is interrupted in its search goes on with what it has found."""
        return False

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Runs a stage.

        Args:
            name: What is being done.
            total: Number of steps, if known.

        Yields:
            A function that is to be called with the number of steps just done. Steps beyond the
            total are not shown: a batch may hold more samples than were wanted.
        """
        _LOGGER.debug("%s", name)
        start = time.perf_counter()
        done = 0
        with self._shown(name, total) as show:

            def advance(steps: int) -> None:
                nonlocal done
                steps = steps if total is None else min(steps, total - done)
                if steps > 0:
                    done += steps
                    show(steps)

            yield advance
        _trim()  # stages to come need blocks of other sizes
        self.forecast.finish(name)
        taken = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        _LOGGER.info("%s: %.2f s", name, taken)

    @contextlib.contextmanager
    def _shown(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - for those that override it
        yield lambda _: None


def _trim() -> None:
    """Gives freed memory back to the system: glibc keeps hundreds of MB between what is in use."""
    if not sys.platform.startswith("linux"):
        return
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other libraries have none
    if found is not None:
        found(0)
