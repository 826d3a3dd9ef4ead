"""Runtimes by name."""

from __future__ import annotations

from typing import TypeVar

from ...errors import check_known
from ...options import RuntimeOptions
from ...registering import check_free
from ..measured import MeasuredBy
from ..session import Runtime

__all__ = ["register", "runtime_names", "runtime_of"]

RuntimeType = TypeVar("RuntimeType", bound=type[Runtime])

_RUNTIMES: dict[str, type[Runtime]] = {}


def register(runtime: RuntimeType) -> RuntimeType:
    """Adds a runtime under its name.

    Raises:
        ValueError: Another has that name.
    """
    check_free(_RUNTIMES, runtime, "runtime")
    _RUNTIMES[runtime.name] = runtime
    return runtime


def runtime_names() -> list[str]:
    """The names that `--runtime` takes."""
    return sorted(_RUNTIMES)


def runtime_of(asked: RuntimeOptions) -> Runtime:
    """The runtime that was asked for.

    Raises:
        InputError: There is no such runtime, or it has no such provider or library of operators.
    """
    check_known(runtime_names(), asked.runtime, "runtime")
    runtime = _RUNTIMES[asked.runtime](asked.provider, asked.threads, asked.custom_ops)
    return runtime if asked.measure is None else MeasuredBy.of(runtime, asked.measure)
