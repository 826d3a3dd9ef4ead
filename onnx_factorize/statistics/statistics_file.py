"""Statistics in a file: one .npz with the sums as they are, and a description of what shares what.

    format      version of the format, and what the arrays are, as JSON (docs/howto/shards.md)
    signal0 …   reference, total and products of each signal; its count is in the description
    gradient0 … sums of each gradient
    rows0 …     sums of the importance of rows

Numbers come back bit for bit. The file is mapped, not read: what is not used takes no memory.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files.array_file import read_arrays, write_arrays
from ..outputs.written_survey import as_plain, from_plain
from .calibration_run import Gathered
from .channel_moments import InputMoments
from .model_statistics import Statistics, TargetStatistics
from .moments import GradientMoments, Moments, RowImportance
from .part import Fingerprint, Part, Shared

__all__ = ["load", "save"]

# Files of another version are refused.
_VERSION = 2

_WHAT = "statistics"
_PARTS = ("reference", "total", "products")

Sums = dict[str, npt.NDArray[np.float64]]


def save(part: Part, path: str | os.PathLike[str]) -> None:
    """Writes a part of a calibration to a .npz file, which appears whole or not at all.

    Raises:
        InputError: Writing fails.
    """
    writer, shared = _Writer(), part.shared
    description: dict[str, Any] = {
        "what": _WHAT,
        "version": _VERSION,
        "fingerprint": dataclasses.asdict(shared.fingerprint),
        "survey": as_plain(shared.survey),
        "draws": shared.draws,
        "channels": shared.channels,
        "parts": {"count": part.count, "numbers": part.numbers},
    }
    if part.gathered is not None:
        description["gathered"] = {
            "folds": [writer.fold(statistics) for statistics in part.gathered.parts],
            "inputs": [writer.inputs(moments) for moments in part.gathered.inputs],
            "unreachable": dict(part.gathered.unreachable),
            "not_finite": dict(part.gathered.not_finite),
            "targets": writer.targets,
            "counts": writer.counts,
        }
    write_arrays(path, description, writer.arrays)


def load(path: str | os.PathLike[str]) -> Part:
    """Reads what `save` wrote.

    Raises:
        InputError: The file cannot be read, is none of statistics, or is of another version.
    """
    said, arrays = read_arrays(path, _WHAT)
    if not isinstance(said, Mapping) or said.get("what") != _WHAT:
        raise InputError(f"{path} holds no {_WHAT} that this version can read.")
    if said["version"] != _VERSION:
        raise InputError(
            f"{path} holds statistics of format {said['version']}, and this version reads "
            f"format {_VERSION}: make it again."
        )
    survey, fingerprint = from_plain(said["survey"]), Fingerprint(**said["fingerprint"])
    shared = Shared(fingerprint, survey, said["draws"], tuple(said["channels"]))
    parts, gathered = said["parts"], None
    if "gathered" in said:
        found = said["gathered"]
        reader = _Reader(arrays, found)
        gathered = Gathered(
            [reader.fold(names) for names in found["folds"]],
            None,
            found["unreachable"],
            found["not_finite"],
            [reader.inputs(names) for names in found["inputs"]],
        )
    return Part(shared, gathered, parts["count"], tuple(parts["numbers"]))


class _Writer:
    """Numbers targets and sums, each once however many share it."""

    def __init__(self) -> None:
        self.arrays: Sums = {}
        self.counts: dict[str, int] = {}
        self.targets: list[dict[str, Any]] = []
        self._targets: dict[int, int] = {}
        self._signals: dict[int, str] = {}

    def fold(self, statistics: Statistics) -> dict[str, int]:
        """The number of each target."""
        return {name: self._target(target) for name, target in statistics.items()}

    def inputs(self, moments: InputMoments) -> dict[str, str]:
        """The signal of each target."""
        return {name: self._signal(own) for name, own in moments.items()}

    def _target(self, target: TargetStatistics) -> int:
        if id(target) not in self._targets:
            entry = {
                "signal": self._signal(target.signal),
                "gradient": self._sum("gradient", target.gradient),
                "rows": self._sum("rows", target.rows),
                "tied": [self._target(other) for other in target.tied],
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

    def __init__(self, arrays: Sums, gathered: Mapping[str, Any]) -> None:
        self._arrays, self._counts = arrays, gathered["counts"]
        self._entries: Sequence[Mapping[str, Any]] = gathered["targets"]
        self._targets: dict[int, TargetStatistics] = {}
        self._signals: dict[str, Moments] = {}

    def fold(self, names: Mapping[str, int]) -> Statistics:
        """The statistics of targets by their numbers."""
        return Statistics({name: self._target(number) for name, number in names.items()})

    def inputs(self, names: Mapping[str, str]) -> InputMoments:
        """Moments by the names of their signals."""
        return {name: self._signal(signal) for name, signal in names.items()}

    def _target(self, number: int) -> TargetStatistics:
        if number not in self._targets:
            entry = self._entries[number]
            gradient, rows = entry["gradient"], entry["rows"]
            self._targets[number] = TargetStatistics(
                self._signal(entry["signal"]),
                None if gradient is None else GradientMoments(*self._sum(gradient)),
                None if rows is None else RowImportance(*self._sum(rows)),
                tuple(self._target(other) for other in entry["tied"]),
            )
        return self._targets[number]

    def _signal(self, name: str) -> Moments:
        if name not in self._signals:
            parts = (self._arrays[f"{name}.{part}"] for part in _PARTS)
            self._signals[name] = Moments(self._counts[name], *parts)
        return self._signals[name]

    def _sum(self, name: str) -> tuple[int, npt.NDArray[np.float64]]:
        return self._counts[name], self._arrays[name]
