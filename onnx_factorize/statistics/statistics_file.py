"""Statistics in a file: one .npz with the sums as they are, and a description of what shares what.

    format      version of the format, and of each target which sums are its own, as JSON
    signal0 …   reference, total and products of each signal; its count is in the description
    gradient0 … sums of each gradient
    rows0 …     sums of the importance of rows

Numbers come back bit for bit.
"""

from __future__ import annotations

import json
import os
import pathlib
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files.writing import atomic_path
from ..runtime.paging import keep
from .model_statistics import Statistics, TargetStatistics
from .moments import GradientMoments, Moments, RowImportance

__all__ = ["load", "save"]

# Files of another version are refused.
_VERSION = 1

_KEY = "format"
_PARTS = ("reference", "total", "products")

Sums = dict[str, npt.NDArray[np.float64]]


def save(statistics: Statistics, path: str | os.PathLike[str]) -> None:
    """Writes statistics to a .npz file, which appears whole or not at all.

    Raises:
        InputError: Writing fails.
    """
    writer = _Writer()
    names = {name: writer.target(target) for name, target in statistics.items()}
    format_ = {
        "version": _VERSION,
        "names": names,
        "targets": writer.targets,
        "counts": writer.counts,
    }
    with atomic_path(pathlib.Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_KEY: np.array(json.dumps(format_)), **writer.arrays})


def load(path: str | os.PathLike[str]) -> Statistics:
    """Reads statistics that `save` wrote.

    Raises:
        InputError: The file cannot be read, is none of statistics, or is of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        format_ = json.loads(str(arrays.pop(_KEY)))
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no statistics that this version can read.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if format_.get("version") != _VERSION:
        raise InputError(
            f"{path} holds statistics of format {format_.get('version')}, and this version reads "
            f"format {_VERSION}: make it again."
        )
    reader = _Reader(arrays, format_)
    return Statistics({name: reader.target(number) for name, number in format_["names"].items()})


class _Writer:
    """Numbers targets and sums, each once however many share it."""

    def __init__(self) -> None:
        self.arrays: Sums = {}
        self.counts: dict[str, int] = {}
        self.targets: list[dict[str, Any]] = []
        self._targets: dict[int, int] = {}
        self._signals: dict[int, str] = {}

    def target(self, target: TargetStatistics) -> int:
        """The number of a target."""
        if id(target) not in self._targets:
            entry = {
                "signal": self._signal(target.signal),
                "gradient": self._sum("gradient", target.gradient),
                "rows": self._sum("rows", target.rows),
                "tied": [self.target(other) for other in target.tied],
            }
            self._targets[id(target)] = len(self.targets)
            self.targets.append(entry)
        return self._targets[id(target)]

    def _signal(self, moments: Moments) -> str:
        if id(moments) not in self._signals:
            name = f"signal{len(self.counts)}"
            self._signals[id(moments)] = name
            self.counts[name] = moments.count
            self.arrays |= {f"{name}.{part}": getattr(moments, part) for part in _PARTS}
        return self._signals[id(moments)]

    def _sum(self, kind: str, found: GradientMoments | RowImportance | None) -> str | None:
        if found is None:
            return None
        name = f"{kind}{len(self.counts)}"
        self.counts[name], self.arrays[name] = found.samples, found.total
        return name


class _Reader:
    """Makes the targets and sums again, each once."""

    def __init__(self, arrays: Sums, format_: dict[str, Any]) -> None:
        self._arrays, self._counts = arrays, format_["counts"]
        self._entries = format_["targets"]
        self._targets: dict[int, TargetStatistics] = {}
        self._signals: dict[str, Moments] = {}

    def target(self, number: int) -> TargetStatistics:
        """The target of a number."""
        if number not in self._targets:
            entry = self._entries[number]
            gradient, rows = entry["gradient"], entry["rows"]
            self._targets[number] = TargetStatistics(
                self._signal(entry["signal"]),
                None if gradient is None else GradientMoments(*self._sum(gradient)),
                None if rows is None else RowImportance(*self._sum(rows)),
                tuple(self.target(other) for other in entry["tied"]),
            )
        return self._targets[number]

    def _signal(self, name: str) -> Moments:
        if name not in self._signals:
            parts = (keep(self._arrays[f"{name}.{part}"]) for part in _PARTS)
            self._signals[name] = Moments(self._counts[name], *parts)
        return self._signals[name]

    def _sum(self, name: str) -> tuple[int, npt.NDArray[np.float64]]:
        return self._counts[name], keep(self._arrays[name])
