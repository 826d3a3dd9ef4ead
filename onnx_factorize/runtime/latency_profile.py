"""Latencies of another device, as the program of a kit measured them there."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .._version import __version__
from ..curve import Curve
from ..errors import InputError
from ..foreign import reading
from .latency_format import RESULTS, SCHEMA
from .latency_source import Family, LatencySource

__all__ = ["Checked", "LatencyProfile", "Subject"]

# What is not known is not cut.
_UNKNOWN = Curve(0.0, (), ())

# Conditions of which a run knows one, and by which option it is told.
_COMPARED = ("runtime", "version", "provider", "precision", "device", "threads")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a profile must be of.

    Attributes:
        digest: The digest of the dense model.
        opset: Its version of the standard operators.
        threads: Threads of an operator.
    """

    digest: str
    opset: int
    threads: int


@dataclasses.dataclass(frozen=True)
class Checked:
    """A compressed model that was run on the device.

    Attributes:
        saved: What cuts, and fewer channels, were predicted to save, as shares of the dense model's
            latency.
        measured: Its latency there, likewise.
    """

    saved: tuple[float, float]
    measured: float


@dataclasses.dataclass(frozen=True)
class LatencyProfile(LatencySource):
    """What the operators of one model take on one device.

    Attributes:
        conditions: The device, and how models were run there.
        curves: By the label of a family its latency.
        whole: Milliseconds of one sample of the dense model; None where it was not run.
        count: Samples that models were run on.
        checked: Compressed models that were run there.
    """

    measures: ClassVar[bool] = False
    verb: ClassVar[str] = "look up"

    conditions: Mapping[str, Any]
    curves: Mapping[str, Curve]
    whole: float | None
    count: int
    checked: tuple[Checked, ...] = ()

    @classmethod
    def load(cls, paths: Sequence[str | os.PathLike[str]], subject: Subject) -> LatencyProfile:
        """Reads results of a kit, and of models that were checked after it.

        Args:
            paths: The files: that of the kit, and perhaps those of checks.
            subject: What they must be of.

        Raises:
            InputError: One cannot be read, or is of something else.
        """
        profiles = [_read(str(path), subject) for path in paths]
        first, *others = profiles
        for path, other in zip(paths[1:], others, strict=True):
            differing = [k for k in _COMPARED if other.conditions[k] != first.conditions[k]]
            if differing:
                raise InputError(
                    f"{path} and {paths[0]} were measured with another {' and '.join(differing)}: "
                    "profiles that are given together must be of one device."
                )
        curves = {label: curve for each in profiles for label, curve in each.curves.items()}
        checked = tuple(found for each in profiles for found in each.checked)
        if not curves:
            raise InputError(f"{paths[0]} holds no operators: give the results of the kit, too.")
        whole = next((each.whole for each in profiles if each.whole is not None), None)
        return dataclasses.replace(first, curves=curves, whole=whole, checked=checked)

    def curve(self, family: Family) -> Curve:
        """The latency of a family; what did not run there, or the kit lacks, stays dense."""
        return self.curves.get(family.label, _UNKNOWN)

    def dense(self) -> float | None:
        """The milliseconds of one sample of the dense model."""
        return self.whole

    def samples(self, own: int) -> int:  # noqa: ARG002 - the kit's own count
        """The number of samples that models were run on there."""
        return self.count

    @property
    def said(self) -> str:
        """The device and the runtime, for people."""
        runtime = f"{self.conditions['runtime']} {self.conditions['version']}"
        return f"{self.conditions['device']} ({runtime})"


def _read(path: str, subject: Subject) -> LatencyProfile:
    """Reads one file of results.

    Raises:
        InputError: It cannot be read, or is of something else.
    """
    with reading(f"{path} cannot be read"):
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text)
        what, schema = found["what"], found["schema"]
    except (ValueError, KeyError, TypeError, RecursionError):
        what = schema = None
    if what != RESULTS:
        raise InputError(
            f"{path} holds no results of a latency kit: give the results.json that the kit's "
            "run.py wrote."
        )
    if schema != SCHEMA:
        raise InputError(
            f"{path} is of format {schema}, and this version reads format {SCHEMA}: make the kit "
            "again."
        )
    try:
        _check(path, found, subject)
        conditions = {name: found["conditions"][name] for name in _COMPARED}
        kit, entries = found["kit"], found["entries"]
        curves = {}
        for family in kit["families"]:
            curve = _curve(family["sizes"], [entries.get(name) for name in family["files"]])
            curves.update(dict.fromkeys(family["labels"], curve))
        whole = [_time(entry) for entry in found["whole"]]
        checked = _checked(kit["whole"]["models"], found["whole"])
        count = int(kit["samples"])
        dense = whole[0] / count if whole and math.isfinite(whole[0]) else None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{path} is damaged: run the kit again.") from error
    return LatencyProfile(conditions, curves, dense, count, checked)


def _check(path: str, found: Mapping[str, Any], subject: Subject) -> None:
    """Refuses a profile of something else.

    Raises:
        InputError: It is.
    """
    kit, threads = found["kit"], found["conditions"]["threads"]
    if kit["version"] != __version__:
        raise InputError(
            f"{path} is of a kit that onnx-factorize {kit['version']} made, and this is "
            f"{__version__}: make the kit again."
        )
    if kit["opset"] != subject.opset:
        raise InputError(
            f"{path} is of a model of opset {kit['opset']}, and this one has opset "
            f"{subject.opset}: make a kit of this model."
        )
    if kit["model"]["digest"] != subject.digest:
        name = kit["model"]["name"] or "another model"
        raise InputError(f"{path} is of {name}, and not of this model: make a kit of this one.")
    if threads != subject.threads:
        raise InputError(
            f"{path} was measured with --threads {threads}, and this run has --threads "
            f"{subject.threads}: give the same."
        )


def _curve(sizes: Sequence[int], entries: Sequence[Any]) -> Curve:
    """The latency of a family; infinite where the device cannot run it."""
    dense, *times = map(_time, entries)
    if len(times) != len(sizes) or not math.isfinite(dense):
        return _UNKNOWN
    return Curve(dense, tuple(map(int, sizes)), tuple(times))


def _time(entry: Mapping[str, Any] | None, figure: str = "min") -> float:
    """The milliseconds that one model took, by another figure where that one is not known.

    The least is taken of operators, for what else a device does adds to it, and more to long runs.
    """
    if entry is None or "error" in entry:
        return math.inf
    found = [entry[each] for each in (figure, "p50", "min") if each in entry]
    time = float(found[0])
    return time if time > 0 else math.inf


def _checked(
    models: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]
) -> tuple[Checked, ...]:
    """The compressed models beside the dense one, those that ran: by medians, as budgets are."""
    found = []
    times = [_time(entry, "p50") for entry in entries]
    for model, time in zip(models[1:], times[1:], strict=False):
        if math.isfinite(time / times[0]):
            cuts, channels = model["saved"]
            found.append(Checked((float(cuts), float(channels)), time / times[0]))
    return tuple(found)
