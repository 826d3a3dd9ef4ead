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

__all__ = ["in_parallel", "one_blas_thread"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


def one_blas_thread(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorates: meanwhile BLAS keeps to the thread that calls it."""

    @functools.wraps(function)
    def limited(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with threadpool_limits(1, "blas"):
            return function(*args, **kwargs)

    return limited


def in_parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yields `function` of each item, in order, computed by as many threads as there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores or 1) as pool:
        yield from pool.map(function, items)
