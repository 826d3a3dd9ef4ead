"""Rounds of pieces that workers compute: what is lost with a worker is computed again.

A piece is a call of a function that can be pickled. Whatever executor runs it, a piece that fails
otherwise than by an error of ours counts as lost: it is computed in a new pool if the pool is our
own, and then in this process, where it fails again unless it was the worker that did.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from typing import Generic, TypeVar

from ..errors import FactorizeError, InputError
from ..options import Options
from ..parallel import cores
from .dask import at_scheduler

__all__ = ["Workers", "hired"]

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")

# Seconds from one look at what workers have done to the next.
_LOOK = 0.2

# Pools that are made for a round, at most: what ends two of them is no accident.
_POOLS = 2

# Parts of a round for an executor that does not tell how many workers it has.
_UNKNOWN = 8


class Workers:
    """Those among whom a round is shared out.

    Attributes:
        count: How many there are, or for how many pieces a round is.
        own: Whether they are processes of this run, on this machine.
    """

    def __init__(self, executor: Executor | None, count: int) -> None:
        """Takes an executor, or starts processes.

        Args:
            executor: What runs pieces; None for a pool of processes.
            count: Pieces of a round; 0 for as many as the executor has workers.
        """
        self.own = executor is None
        known = getattr(executor, "_max_workers", None)
        self.count = count or (known if isinstance(known, int) and known > 0 else _UNKNOWN)
        self._executor = executor or self._pool()

    def each(
        self,
        compute: Callable[[_Piece], _Result],
        pieces: Sequence[_Piece],
        look: Callable[[], None] = lambda: None,
    ) -> tuple[list[_Result], int]:
        """Computes pieces.

        Args:
            compute: A function at the top of a module.
            pieces: What it is called with; both can be pickled.
            look: Called again and again while workers compute.

        Returns:
            The results, in the order of the pieces, and how many of them were lost once.
        """
        round_ = _Round(compute, dict(enumerate(pieces)), look)
        lost = round_.by(self._executor)
        again = len(lost)
        for _ in range(_POOLS - 1):
            if lost and self.own:
                self.dismiss()
                self._executor = self._pool()
                lost = round_.by(self._executor)
        for number in lost:
            round_.results[number] = compute(pieces[number])
        return [round_.results[number] for number in range(len(pieces))], again

    def dismiss(self) -> None:
        """Ends the processes, once each has done what it is at."""
        if self.own:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> Executor:
        pool = ProcessPoolExecutor(
            self.count,
            multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(max(1, cores() // self.count),),
        )
        for _ in range(self.count):  # they import while this process reads and surveys
            pool.submit(os.getpid)
        return pool


class _Round(Generic[_Piece, _Result]):
    """One round, and what there is of it."""

    def __init__(
        self,
        compute: Callable[[_Piece], _Result],
        pieces: Mapping[int, _Piece],
        look: Callable[[], None],
    ) -> None:
        self._compute, self._pieces, self._look = compute, pieces, look
        self.results: dict[int, _Result] = {}

    def by(self, executor: Executor) -> list[int]:
        """Has an executor compute what is missing; returns the pieces that still are."""
        futures: dict[Future[_Result], int] = {}
        with contextlib.suppress(RuntimeError):  # it is broken, or was shut down
            for number, piece in self._pieces.items():
                if number not in self.results:
                    futures[executor.submit(self._compute, piece)] = number
        try:
            for future in self._done(futures):
                self._take(future, futures[future])
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return [number for number in self._pieces if number not in self.results]

    def _done(self, futures: Mapping[Future[_Result], int]) -> Iterator[Future[_Result]]:
        left = set(futures)
        while left:
            done, left = wait(left, _LOOK, FIRST_COMPLETED)
            self._look()
            yield from done

    def _take(self, future: Future[_Result], number: int) -> None:
        try:
            self.results[number] = future.result()
        except FactorizeError:
            raise
        except Exception:  # noqa: S110 - it is computed again, where it is no accident
            pass


@contextlib.contextmanager
def hired(executor: Executor | None, options: Options) -> Iterator[Workers | None]:
    """Those who share in a run; None where it is not shared out.

    Args:
        executor: What the user gives.
        options: How many processes to start where that is nothing.
    """
    count, scheduler = options.runtime.workers, options.runtime.scheduler
    if scheduler is not None:
        if executor is not None:
            raise InputError("Give an executor or --scheduler, not both.")
        with at_scheduler(scheduler) as (found, known):
            yield Workers(found, count or known)
        return
    if executor is None and count < 2:
        yield None
        return
    workers = Workers(executor, count)
    try:
        yield workers
    finally:
        workers.dismiss()


def _begin(threads: int) -> None:
    """Prepares a process of our own: it leaves when its parent does, and not by Ctrl-C before."""
    from ..parallel import keep_to  # noqa: PLC0415 - of that process
    from ..runtime import session as _  # noqa: F401, PLC0415 - takes its time

    keep_to(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
