"""Channels that are observed while moments are gathered and losses are cross-validated."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ...arrays import Array
from ...parallel import in_parallel
from ...passes import Target
from ...statistics.calibration_run import Gathered
from ...statistics.channel_moments import InputMoments, InputSums, merged_moments
from ...statistics.observation import Observation
from ..losses import LossSums
from .channel_cuts import ChannelCuts, CutsApart
from .channel_losses import Changes, cross_moments, losses_between
from .narrowing import Narrowing

__all__ = ["ObservedChannels"]


class ObservedChannels:
    """What the data say of channels, from runs of the model that others need (see `Companion`).

    Attributes:
        narrowings: The channels.
        apart: The cuts that all folds but one give, once `ready`.
        cuts: What all data give, likewise.
    """

    def __init__(self, narrowings: Sequence[Narrowing], samples: int, folds: int) -> None:
        """Begins with no data.

        Args:
            narrowings: The channels.
            samples: The samples of all folds.
            folds: The folds.
        """
        self.narrowings = narrowings
        self._readers = _readers(narrowings)
        self._sums = [InputSums(self.readers, samples) for _ in range(folds)]
        self._judged: dict[str, LossSums] = {}

    @property
    def readers(self) -> Sequence[Target]:
        """The targets that read them."""
        return list(self._readers.values())

    @property
    def together(self) -> Sequence[Collection[str]]:
        """Names of the readers of each channels, which are judged at once."""
        return [{target.name for target in each.readers} for each in self.narrowings]

    def gather(self, fold: int, seen: Observation) -> None:
        """Adds the moments of a batch of one fold."""
        self._sums[fold].add(seen)

    @property
    def moments(self) -> Sequence[InputMoments]:
        """The moments of what readers read, fold by fold."""
        return [sums.moments for sums in self._sums]

    def ready(self, narrowings: Sequence[Narrowing], gathered: Gathered) -> None:
        """Takes what was gathered, for the channels that may still be narrowed."""
        self.narrowings, self._readers = narrowings, _readers(narrowings)
        self._sums = []  # they are those of what was gathered
        self.cuts = ChannelCuts(gathered.statistics, merged_moments(gathered.inputs))
        self.apart = CutsApart(gathered.parts, gathered.inputs)

    def begin(self, fold: int) -> None:
        """Works out what becomes of readers by what the other folds say."""
        own = self.apart.without(fold)
        self._changes = {each.name: Changes.of(each, own) for each in self.narrowings}

    def judge(self, seen: Observation) -> None:
        """Adds what that changes on samples of the fold, where all readers are shown."""

        def add(name: str) -> None:
            squares = self._changes[name].squares(cross)
            if squares is not None:
                own = self._judged.setdefault(name, LossSums(np.zeros(len(squares))))
                own.add(squares.sum(axis=1), squares.shape[1])

        cross = cross_moments(seen, self._readers)
        shown = [n.name for n in self.narrowings if all(map(seen.shows, n.readers))]
        deque(in_parallel(add, shown), 0)

    @property
    def names(self) -> Sequence[str]:
        """Names of the channels."""
        return [each.name for each in self.narrowings]

    @property
    def judged(self) -> Mapping[str, tuple[int, Array]]:
        """By name the samples that judged, none perhaps, and the sums of what they changed by."""
        nothing = LossSums(np.zeros(0))
        found = {name: self._judged.get(name, nothing) for name in self.names}
        return {name: (sums.samples, sums.total) for name, sums in found.items()}

    def take(self, judged: Mapping[str, tuple[int, Array]]) -> None:
        """Takes what was judged before."""
        self._judged = {
            name: LossSums(total, samples) for name, (samples, total) in judged.items() if samples
        }

    def losses(self, narrowing: Narrowing) -> Array:
        """The loss at every width, shape (width + 1,): of unseen samples where some were judged."""
        closed = self.cuts.elimination(narrowing).losses
        return losses_between(narrowing, closed, self._judged.get(narrowing.name))


def _readers(narrowings: Sequence[Narrowing]) -> dict[str, Target]:
    """The targets that read some channels, by name."""
    return {target.name: target for each in narrowings for target in each.readers}
