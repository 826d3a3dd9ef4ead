"""The memory that this machine has to spare."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

from ..options.memory import Memory

__all__ = ["free_bytes", "memory_of"]

_MEMINFO = pathlib.Path("/proc/meminfo")

# What limits a container, and what it takes of that.
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def memory_of(asked: Memory | None) -> Memory:
    """The memory that a run may take: what was asked for, or half of what is free.

    Unless it is asked for, no more than 2 GB: with more, little is faster.
    """
    if asked is not None:
        return asked
    usual, free = Memory(), free_bytes()
    return usual if free is None else Memory(min(usual.bytes, max(1e6, free / 2)))


def free_bytes() -> int | None:
    """The bytes that are free; None where the system does not tell."""
    return min(_free(), default=None)


def _free() -> Iterator[int]:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text())
        if found is not None:
            yield 1024 * int(found[1])
    except OSError:
        names = ("SC_AVPHYS_PAGES", "SC_PAGE_SIZE")
        if all(name in getattr(os, "sysconf_names", ()) for name in names):
            yield os.sysconf(names[0]) * os.sysconf(names[1])
    for limit, taken in _LIMITS:
        try:
            numbers = [pathlib.Path(path).read_text().strip() for path in (limit, taken)]
        except OSError:
            continue
        if all(number.isdecimal() for number in numbers):
            yield max(0, int(numbers[0]) - int(numbers[1]))
