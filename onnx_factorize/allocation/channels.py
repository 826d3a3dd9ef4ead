"""Channels of a calibrated model: what may be narrowed, and what a plan makes of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ..arrays import Array
from ..factorization.narrowing.channel_cuts import ChannelCuts, CutsApart
from ..factorization.narrowing.channel_losses import closed_form_losses, cross_validated_losses
from ..factorization.narrowing.narrowing import Narrowing, find_narrowings
from ..factorization.rewriting import ChannelFactors
from ..passes import Factors, Target
from ..passes.narrowing import RefusedChannels
from ..passes.narrowing.group import Indices
from ..statistics.calibration_run import CalibrationRun, Gathered
from ..statistics.channel_moments import gather_input_moments, merged_moments
from .candidate import Candidate
from .channel_shares import ChannelShares
from .work import affordable

__all__ = ["Channels", "find_channels", "with_channels"]


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels that may be narrowed, and the moments that say how.

    Attributes:
        narrowings: The channels.
        refused: Those that may not.
        apart: The cuts that all folds but one give.
        cuts: What all data give.
        losses: By name the loss at every width, shape (width + 1,).
        work: Multiply-adds that all of this takes.
    """

    narrowings: Sequence[Narrowing] = ()
    refused: Sequence[RefusedChannels] = ()
    apart: CutsApart | None = None
    cuts: ChannelCuts | None = None
    losses: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    work: float = 0.0

    def chosen(self, plan: Mapping[str, int]) -> dict[Narrowing, int]:
        """The channels that a plan narrows, each with its width."""
        return {each: plan[each.name] for each in self.narrowings if plan.get(each.name)}

    def factors(self, plan: Mapping[str, int], cuts: ChannelCuts | None) -> dict[str, Factors]:
        """Reader to the factors that a plan makes of some statistics."""
        found: dict[str, Factors] = {}
        for narrowing, width in self.chosen(plan).items():
            assert cuts is not None
            found |= cuts.factors(narrowing, width)
        return found

    def taken(self, plan: Mapping[str, int]) -> ChannelFactors:
        """What a plan takes out, by all data."""
        kept: dict[str, Indices] = {}
        readers: list[Target] = []
        for each, width in self.chosen(plan).items():
            assert self.cuts is not None
            kept[each.group.name] = self.cuts.elimination(each).kept(width)
            readers += each.readers
        return ChannelFactors(kept, self.factors(plan, self.cuts), readers)

    def shares(self, plan: Mapping[str, int]) -> dict[str, ChannelShares]:
        """Operator to what it still reads and computes of channels, of those that a plan changes.

        Channelwise operators with a weight are among them.
        """
        found: dict[str, ChannelShares] = {}
        for narrowing, width in self.chosen(plan).items():
            group, now = narrowing.group, (width, narrowing.width)
            nothing = ChannelShares()
            for target in narrowing.readers:
                own = found.get(target.operator, nothing)
                found[target.operator] = dataclasses.replace(own, reads=now)
            for target in narrowing.producers:
                own = found.get(target.operator, nothing)
                found[target.operator] = dataclasses.replace(own, computes=now)
            for node in group.nodes:
                found.setdefault(node.name or "", ChannelShares(computes=now))
        return found

    def cuts_of(self, fold: int) -> ChannelCuts | None:
        """The cuts that all folds but one give."""
        return None if self.apart is None else self.apart.without(fold)


def find_channels(run: CalibrationRun, gathered: Gathered, macs: float = math.inf) -> Channels:
    """Finds channels that may be narrowed, and works out what that loses.

    Args:
        run: The model and the data; the targets are operators.
        gathered: The statistics of each fold, with gradients.
        macs: Multiplications of the dense model for one sample.
    """
    usable = [
        target
        for target in run.targets
        if gathered.ran(target) and target.name not in gathered.unreachable
    ]
    narrowings, refused = find_narrowings(run.normal, usable)
    dear, work = affordable(run, gathered, macs, narrowings)
    refused += [each.refused(dear[each.name]) for each in narrowings if each.name in dear]
    narrowings = [each for each in narrowings if each.name not in dear]
    if not narrowings:
        return Channels(refused=refused)
    readers = {target.name: target for each in narrowings for target in each.readers}
    moments = gather_input_moments(run, list(readers.values()))
    every = ChannelCuts(gathered.statistics, merged_moments(moments))
    apart = CutsApart(gathered.parts, moments)
    if run.effort.folds and len(gathered.parts) > 1 and not run.progress.late:
        losses = cross_validated_losses(run, narrowings, apart, every)
    else:
        losses = closed_form_losses(narrowings, every)
    return Channels(narrowings, refused, apart, every, losses, work)


def with_channels(
    candidates: Sequence[Candidate], channels: Channels, *, only: bool = False
) -> list[Candidate]:
    """Candidates that narrow channels, beside those that do not.

    Args:
        candidates: Those that do not; the first is the predicted one.
        channels: The channels.
        only: Whether nothing but channels may go.
    """
    if not channels.losses:
        return list(candidates)
    first, *others = candidates
    if only:
        return [dataclasses.replace(first, losses=dict(channels.losses))]

    def narrowed(candidate: Candidate) -> Candidate:
        losses = {**candidate.losses, **channels.losses}
        return dataclasses.replace(candidate, losses=losses)

    without = dataclasses.replace(first, name="without narrowing")
    closed = [
        dataclasses.replace(narrowed(each), name=f"{each.name}, narrowed")
        for each in others
        if each.name == "closed form"
    ]
    return [narrowed(first), without, *others, *closed]
