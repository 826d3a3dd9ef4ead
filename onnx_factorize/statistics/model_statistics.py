"""Statistics of the targets of a model: sums, so that parts of the data merge.

They are a commutative monoid, up to rounding: `empty` is no data, `add` adds a batch, `merge` joins
the sums of different samples in any order, and a file keeps them between processes (see
`statistics_file`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..parallel import in_parallel
from ..passes import Target
from .moments import GradientMoments, Moments, RowImportance
from .observation import Observation
from .observer import Observer
from .row_buffer import RowBuffers

__all__ = ["Statistics", "TargetStatistics"]


@dataclasses.dataclass
class TargetStatistics:
    """The statistics of one target, on its narrow side.

    Attributes:
        signal: Moments of x, or of y = x W. Targets that read the same value share them.
        gradient: Moments of W g, or of g; None if not gathered.
        rows: How much each row of the weight matters; None if not gathered.
        tied: The same of each other operator that reads the weight.
    """

    signal: Moments
    gradient: GradientMoments | None = None
    rows: RowImportance | None = None
    tied: tuple[TargetStatistics, ...] = ()

    @property
    def count(self) -> int:
        """The rows seen of all operators that read the weight, those of one signal once."""
        signals = {id(each.signal): each.signal for each in (self, *self.tied)}
        return sum(signal.count for signal in signals.values())

    @property
    def ran(self) -> bool:
        """True if the data reached all operators that read the weight."""
        return self.ran_itself and all(other.ran for other in self.tied)

    @property
    def ran_itself(self) -> bool:
        """True if the data reached the target."""
        return bool(self.signal.count or (self.rows is not None and self.rows.total.any()))


class Finds(Protocol):
    """What was found of targets while they were observed: an observer, or several together."""

    @property
    def not_finite(self) -> dict[str, str]:
        """Target name to where its signal is not finite."""

    @property
    def gradients(self) -> Collection[str]:
        """Names of the targets that have a gradient."""


class Statistics(Mapping[str, TargetStatistics]):
    """The statistics of each target, by name; those of tied weights are under their names too.

    first, second = (gather(shard) for shard in shards)
    both = first.merge(second)
    """

    def __init__(self, targets: Mapping[str, TargetStatistics] | None = None) -> None:
        """Takes what was gathered; targets may share the moments of a signal."""
        self._targets = dict(targets or {})

    @classmethod
    def empty(cls, targets: Sequence[Target], observer: Observer) -> Statistics:
        """The statistics of no data.

        Args:
            targets: The targets.
            observer: What will observe them: targets of one signal share its moments, and those
                that have a gradient get moments for it.
        """
        uses = [use for target in targets for use in target.uses]
        signals: dict[object, Moments] = {}
        found: dict[str, TargetStatistics] = {}
        for use in uses:
            key = observer.signal_of(use)
            if key not in signals:
                signals[key] = Moments.empty(use.groups, use.width)
            gradient = None
            if use.name in observer.gradients:
                gradient = GradientMoments.empty(use.groups, use.width)
            found[use.name] = TargetStatistics(signals[key], gradient)
        for target in targets:
            found[target.name].tied = tuple(found[other.name] for other in target.tied)
        return cls(found)

    def __getitem__(self, name: str) -> TargetStatistics:
        return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def ran(self) -> bool:
        """True if the data reached any target."""
        return any(each.ran_itself for each in self.values())

    def only(self, names: Iterable[str]) -> Statistics:
        """Those of some targets; what they share stays shared."""
        return Statistics({name: self._targets[name] for name in names})

    def add(
        self,
        observation: Observation,
        targets: Sequence[Target],
        places: Mapping[str, int],
        waiting: RowBuffers,
        *,
        signals: bool = True,
    ) -> None:
        """Adds what one batch showed, in place.

        Args:
            observation: The batch.
            targets: The targets, tied ones among them.
            places: Target name to the places of an image to look at in each sample, at most.
            waiting: Where rows wait; they are all added once it is flushed.
            signals: Whether signals are added; they are the same in every draw of labels.
        """
        leading = self._leading(targets) if signals else set()

        def add(target: Target) -> None:  # no two share what is added to
            own = self._targets[target.name]
            if target.name in leading:
                rows = observation.signal(target, places[target.name])
                if rows is not None:
                    waiting.add(id(own.signal), own.signal.add, rows)
            if own.gradient is not None:
                found = observation.gradient(target, places[target.name])
                if found is not None:
                    rows, scale = found
                    own.gradient.samples += observation.batch.samples
                    if scale != 1:  # rows that wait together may stand for different numbers
                        rows = rows * rows.dtype.type(np.sqrt(scale))
                    take = functools.partial(own.gradient.add, samples=0)
                    waiting.add(id(own.gradient), take, rows)
                elif observation.skipped(target):  # samples count where another branch ran, too
                    own.gradient.samples += observation.batch.samples

        deque(in_parallel(add, [each for each in targets if observation.shows(each)]), 0)

    def _leading(self, targets: Sequence[Target]) -> set[str]:
        """Of targets that share a signal, the first, which adds it for all."""
        first: dict[int, str] = {}
        for target in targets:
            first.setdefault(id(self._targets[target.name].signal), target.name)
        return set(first.values())

    def leave_out(self, found: Finds) -> None:
        """Leaves out, in place, what was found not to be finite in the dense model itself.

        A signal that is not finite is one of no rows, for all targets that read it; gradients that
        are not finite are as if there were none.
        """
        spoilt = {id(self[n].signal): where for n, where in found.not_finite.items()}
        for name, own in self.items():
            if id(own.signal) in spoilt:
                found.not_finite.setdefault(name, spoilt[id(own.signal)])
                own.signal = Moments.empty(*own.signal.total.shape)
            if name not in found.gradients:
                own.gradient = None

    def merge(self, *others: Statistics) -> Statistics:
        """The statistics of all samples together; the parts stay as they are.

        Raises:
            InputError: The parts are not of the same targets.
        """
        for other in others:
            if list(other) != list(self) or _layout(other) != _layout(self):
                raise InputError(
                    "Statistics of different targets cannot be merged: make all parts from the "
                    "same model, with the same options."
                )
        merging = _Merging()
        parts = (self, *others)
        return Statistics({n: merging.target([part[n] for part in parts]) for n in self})


class _Merging:
    """Merges, so that what was shared is shared again."""

    def __init__(self) -> None:
        self._signals: dict[int, Moments] = {}
        self._targets: dict[int, TargetStatistics] = {}

    def target(self, parts: Sequence[TargetStatistics]) -> TargetStatistics:
        """The statistics of one target."""
        first = parts[0]
        if id(first) not in self._targets:
            gradient = rows = None
            if first.gradient is not None:
                gradient = GradientMoments.empty(*first.gradient.total.shape[:2])
                for part in parts:
                    assert part.gradient is not None
                    gradient.merge(part.gradient)
            if first.rows is not None:
                rows = RowImportance.empty(*first.rows.total.shape)
                for part in parts:
                    assert part.rows is not None
                    rows.merge(part.rows)
            tied = tuple(
                self.target(others) for others in zip(*(part.tied for part in parts), strict=True)
            )
            signal = self._signal([part.signal for part in parts])
            self._targets[id(first)] = TargetStatistics(signal, gradient, rows, tied)
        return self._targets[id(first)]

    def _signal(self, parts: Sequence[Moments]) -> Moments:
        key = id(parts[0])
        if key not in self._signals:
            merged = Moments.empty(*parts[0].total.shape)
            for part in parts:
                merged.merge(part)
            self._signals[key] = merged
        return self._signals[key]


def _layout(statistics: Mapping[str, TargetStatistics]) -> list[object]:
    """The sums that there are of each target, and their shapes."""

    def of(target: TargetStatistics) -> tuple[object, ...]:
        gradient = None if target.gradient is None else target.gradient.total.shape
        rows = None if target.rows is None else target.rows.total.shape
        return target.signal.total.shape, gradient, rows, tuple(map(of, target.tied))

    return [of(target) for target in statistics.values()]
