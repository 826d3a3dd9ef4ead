"""Signals that end a command: each takes the way of Ctrl-C, so that each leaves the same behind."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from ..errors import FactorizeError

__all__ = ["StoppedError", "TerminatedInterrupt", "stoppable"]


class TerminatedInterrupt(KeyboardInterrupt):
    """Raised where a signal other than that of Ctrl-C arrives.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class StoppedError(FactorizeError):
    """A command that was stopped; its exit code is what shells make of the signal."""

    def __init__(self, interrupt: KeyboardInterrupt, left: str) -> None:
        """Says what there is.

        Args:
            interrupt: What stopped it.
            left: What it leaves behind, as the second half of a sentence.
        """
        number, what = signal.SIGINT, "interrupted"
        if isinstance(interrupt, TerminatedInterrupt):
            number, what = signal.Signals(interrupt.number), "terminated"
        super().__init__(f"{what}; {left}.")
        self.exit_code = 128 + number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Has SIGTERM and SIGHUP clean up meanwhile, unless whoever started this ignores them."""
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            with contextlib.suppress(ValueError):  # only the main thread may
                before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: it must not stop the cleaning up
    raise TerminatedInterrupt(number)
