"""Many small problems of linear algebra at once: a thread each, rather than threads within each.

BLAS spends more time on starting and awaiting its threads than on a matrix of a few hundred rows,
and far more where other programs want the same cores. Its threads also go on turning for a while
after a product, on the cores that onnxruntime's next operator wants.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

__all__ = ["cores", "in_parallel", "keep_to", "one_blas_thread"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class _Share:
    """The cores that this process keeps to, where others of the same run have theirs."""

    cores: int | None = None


def cores() -> int:
    """The number of cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(found or 1, _Share.cores or found or 1)


def keep_to(count: int) -> None:
    """Leaves cores to other processes of the same run from now on."""
    _Share.cores = max(1, count)


def one_blas_thread(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorates: meanwhile BLAS keeps to the thread that calls it."""

    @functools.wraps(function)
    def limited(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with threadpool_limits(1, "blas"):
            return function(*args, **kwargs)

    return limited


def in_parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yields `function` of each item, in order, computed by as many threads as there are cores."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(function, items)
