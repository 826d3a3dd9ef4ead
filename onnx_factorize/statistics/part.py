"""Parts of a calibration: the statistics of some samples, and what the parts have in common.

Moments are sums, and add up whoever gathered them. What is no sum is settled beforehand, once: the
scales of outputs, the folds, how many labels are drawn, and which channels are observed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..errors import InputError
from ..outputs import Survey
from .calibration_run import Gathered
from .channel_moments import merged_moments
from .model_statistics import Statistics
from .moments import RowImportance

__all__ = ["Fingerprint", "Part", "Shared", "merged_parts"]

# How far apart two machines may find the scale of an output.
_NEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """The marks by which statistics of something else are known.

    Attributes:
        version: That of this package.
        model: A digest of the dense model.
        data: A digest of the samples that were chosen.
        options: What the statistics depend on, as the command line says it, by its flag.
    """

    version: str
    model: str
    data: str
    options: Mapping[str, str]

    def differs(self, other: Fingerprint) -> str | None:
        """What another one is of, to complete "is of …"; None if both are the same."""
        if self.version != other.version:
            return f"version {other.version} of onnx-factorize, and this is of {self.version}"
        if self.model != other.model:
            return "another model"
        for flag in sorted({*self.options, *other.options}):
            own, its = self.options.get(flag), other.options.get(flag)
            if own != its:
                return f"{flag} {its}, and this is of {flag} {own}"
        return None if self.data == other.data else "other calibration data"


@dataclasses.dataclass(frozen=True)
class Shared:
    """What all parts of a calibration share.

    Attributes:
        fingerprint: What it is a calibration of.
        survey: What the dense model makes of the data.
        draws: Labels that are drawn for each sample.
        channels: Names of the channels that are observed.
    """

    fingerprint: Fingerprint
    survey: Survey
    draws: int
    channels: tuple[str, ...] = ()

    def is_like(self, other: Shared) -> bool:
        """Tells whether statistics by both can be added."""
        mine, theirs = self.survey, other.survey
        if not np.array_equal(mine.folds, theirs.folds) or self.draws != other.draws:
            return False
        if mine.outputs.keys() != theirs.outputs.keys():
            return False
        pairs = [(mine.outputs[name], theirs.outputs[name]) for name in mine.outputs]
        return all(
            a.kind == b.kind
            and len(a.parts) == len(b.parts)
            and all(
                np.isclose(p.deviation or 0.0, q.deviation or 0.0, rtol=_NEAR)
                for p, q in zip(a.parts, b.parts, strict=True)
            )
            for a, b in pairs
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """The statistics of some samples.

    Attributes:
        shared: What all parts share.
        gathered: The statistics of each fold; None where nothing was gathered yet.
        count: The parts that the samples are divided into.
        numbers: Those of them that this is, from 1.
    """

    shared: Shared
    gathered: Gathered | None = None
    count: int = 1
    numbers: tuple[int, ...] = ()


def merged_parts(parts: Mapping[str, Part]) -> Part:
    """All parts of a calibration together.

    Args:
        parts: Each by its name, for messages; in any order.

    Raises:
        InputError: One is missing or there twice, or they are not of the same calibration.
    """
    first_name, first = next(iter(parts.items()))
    numbered: dict[int, Gathered] = {}
    for name, part in parts.items():
        if part.gathered is None:
            raise InputError(f"{name} holds a survey and no statistics: merge parts only.")
        if other := first.shared.fingerprint.differs(part.shared.fingerprint):
            raise InputError(f"{name} cannot be merged with {first_name}: it is of {other}.")
        if part.count != first.count:
            raise InputError(
                f"{name} is one of {part.count} parts, and {first_name} one of {first.count}: "
                "merge the parts of one division."
            )
        if not first.shared.is_like(part.shared):
            raise InputError(
                f"{name} and {first_name} were made by surveys that differ: make one with "
                "--survey, and give it to all parts with --use-survey."
            )
        if twice := sorted(numbered.keys() & set(part.numbers)):
            raise InputError(f"{name} holds part {twice[0]}, which another file holds, too.")
        numbered |= dict.fromkeys(part.numbers, part.gathered)
    _check_complete(numbered.keys(), first.count)
    # In the order of the data, so that the sum is the same however files were named.
    distinct = list({id(numbered[n]): numbered[n] for n in sorted(numbered)}.values())
    numbers = tuple(sorted(numbered))
    return Part(first.shared, merged_gathered(distinct), first.count, numbers)


def _check_complete(numbers: Collection[int], count: int) -> None:
    """Finds what is missing.

    Raises:
        InputError: Something is.
    """
    missing = [number for number in range(1, count + 1) if number not in numbers]
    if missing:
        said = f"part {missing[0]} of {count} is missing"
        if len(missing) > 1:
            said = f"{len(missing)} of the {count} parts are missing, such as part {missing[0]}"
        raise InputError(f"Not all parts are there: {said}; make it with --shard.")


def merged_gathered(found: Sequence[Gathered]) -> Gathered:
    """What several gathered of different samples, which stays as it is but for what is left out.

    What one of them could not use, because something is not finite there, none can.

    Args:
        found: At least one; all of the same targets.

    Raises:
        InputError: They are not.
    """
    if len(found) == 1:
        return found[0]
    unreachable: dict[str, str] = {}
    not_finite: dict[str, str] = {}
    for each in reversed(found):
        unreachable |= each.unreachable
        not_finite |= each.not_finite
    with_gradient = [
        {name for name, own in part.items() if own.gradient is not None}
        for each in found
        for part in each.parts
    ]
    lost = _Lost(not_finite, set.intersection(*with_gradient))
    for each in found:
        for part in each.parts:
            part.leave_out(lost)
    parts = [_added(fold) for fold in zip(*(each.parts for each in found), strict=True)]
    for name in unreachable.keys() - not_finite:
        for part in parts:
            rows = part[name].rows if name in part else None
            if rows is not None:
                part[name].rows = RowImportance.alike(*rows.total.shape)
    known = [set(each.inputs[0]) if each.inputs else set() for each in found]
    names = set.intersection(*known)
    inputs = [
        merged_moments([{n: m for n, m in own.items() if n in names} for own in fold])
        for fold in zip(*(each.inputs for each in found), strict=True)
    ]
    return Gathered(parts, None, unreachable, not_finite, inputs if names else ())


@dataclasses.dataclass(frozen=True)
class _Lost:
    """What cannot be used (see `Statistics.leave_out`)."""

    not_finite: dict[str, str]
    gradients: Collection[str]


def _added(fold: Sequence[Statistics]) -> Statistics:
    first, *others = fold
    return first.merge(*others)
