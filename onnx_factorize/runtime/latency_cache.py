"""Measured latencies, kept in the user's cache folder: they belong to the machine."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import pathlib
import platform
import sys

from ..errors import InputError
from ..files.writing import atomic_path
from .session import Runtime

__all__ = ["LatencyCache", "hardware"]

_log = logging.getLogger(__name__)


def hardware() -> str:
    """The processor of this machine."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - no real file
            name = next((s.split(":", 1)[1].strip() for s in lines if "model name" in s), name)
    except OSError:
        pass  # not Linux
    return f"{platform.system()} {name} {os.cpu_count()} cores"


class LatencyCache:
    """Latencies by a text that says what was measured; a file for each way of running.

    The file is a convenience: if it cannot be read it is measured anew, if it cannot be written
    it is not kept.
    """

    def __init__(self, runtime: Runtime, folder: pathlib.Path | None = None) -> None:
        """Reads what was measured in the same way.

        Args:
            runtime: How operators are run.
            folder: Where files are; the user's cache folder by default.
        """
        self.runtime = runtime
        self.conditions = {"hardware": hardware(), **runtime.conditions()}
        digest = hashlib.sha256(json.dumps(self.conditions).encode()).hexdigest()[:16]
        self.path = (folder or _cache_folder()) / f"latencies-{digest}.json"
        self._new: dict[str, list[float]] = {}
        self._known = self._read()

    def get(self, key: str, count: int) -> list[float] | None:
        """The time measured under a key, in milliseconds.

        Args:
            key: What was measured.
            count: How many times it took; a file that was damaged may hold others.
        """
        times = self._new.get(key) or self._known.get(key)
        return times if times is not None and len(times) == count else None

    def put(self, key: str, times: list[float]) -> None:
        """Remembers a measurement, until `save` for this run only."""
        self._new[key] = times

    def save(self) -> None:
        """Writes what is new, beside what other runs have written meanwhile."""
        if not self._new:
            return
        self._known = {**self._read(), **self._new}
        self._new = {}
        contents = {"conditions": self.conditions, "milliseconds": self._known}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path) as temporary:
                temporary.write_text(json.dumps(contents, indent=1), encoding="utf-8")
        except (OSError, InputError) as error:
            _log.info("latencies are not kept: %s", error)

    def _read(self) -> dict[str, list[float]]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))["milliseconds"]
            known = {str(key): [float(time) for time in times] for key, times in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        return {k: times for k, times in known.items() if all(0 < t < math.inf for t in times)}


def _cache_folder() -> pathlib.Path:
    """The folder where this system keeps what programs can make again."""
    try:
        home = pathlib.Path.home()
    except RuntimeError:  # a user whom the system does not know, as in containers
        home = pathlib.Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - anyone may read it
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return pathlib.Path(base) / "onnx-factorize"
