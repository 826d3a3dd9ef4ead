"""Channels of a calibrated model: what may be narrowed, and what a plan makes of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

from ..arrays import Array
from ..factorization.narrowing.channel_cuts import ChannelCuts
from ..factorization.narrowing.narrowing import Narrowing, find_narrowings
from ..factorization.narrowing.observed_channels import ObservedChannels
from ..factorization.rewriting import ChannelFactors
from ..passes import Factors, Target
from ..passes.narrowing import RefusedChannels
from ..passes.narrowing.group import Indices
from ..statistics.calibration_run import CalibrationRun, Gathered
from .candidate import Candidate
from .channel_shares import ChannelShares
from .work import affordable

__all__ = ["Channels", "find_channels", "with_channels"]

# The reason why channels stay whose moments were gathered by a run that left them out.
_NOT_SEEN = "the statistics were gathered without them"


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels that may be narrowed, and the moments that say how.

    Attributes:
        narrowings: The channels.
        refused: Those that may not.
        observed: What the data say of them.
        losses: By name the loss at every width, shape (width + 1,); empty until they are `judged`.
        work: Multiply-adds that all of this takes.
    """

    narrowings: Sequence[Narrowing] = ()
    refused: Sequence[RefusedChannels] = ()
    observed: ObservedChannels | None = None
    losses: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    work: float = 0.0

    def ready(self, run: CalibrationRun, gathered: Gathered) -> Channels:
        """The same once moments are gathered: losses may be judged of what is left."""
        left = self._left(run, gathered)
        if left.observed is not None:
            left.observed.ready(left.narrowings, gathered)
        return left

    def judged(self, run: CalibrationRun, gathered: Gathered) -> Channels:
        """The same with losses."""
        left = self._left(run, gathered)
        if left.observed is None:
            return left
        losses = {each.name: left.observed.losses(each) for each in left.narrowings}
        return dataclasses.replace(left, losses=losses)

    def _left(self, run: CalibrationRun, gathered: Gathered) -> Channels:
        """The same without those around which there is nothing to judge by."""
        usable = {
            target.name
            for target in run.targets
            if gathered.ran(target) and target.name not in gathered.unreachable
        }
        seen = gathered.inputs[0] if gathered.inputs else {}
        reasons = {each.name: each.unusable(usable) for each in self.narrowings}
        for each in self.narrowings:
            if not all(target.name in seen for target in each.readers):
                reasons[each.name] = reasons[each.name] or _NOT_SEEN
        refused = [
            each.refused(reason) for each in self.narrowings if (reason := reasons[each.name])
        ]
        narrowings = [each for each in self.narrowings if reasons[each.name] is None]
        observed = self.observed if narrowings else None
        return dataclasses.replace(
            self, narrowings=narrowings, refused=[*self.refused, *refused], observed=observed
        )

    def chosen(self, plan: Mapping[str, int]) -> dict[Narrowing, int]:
        """The channels that a plan narrows, each with its width."""
        return {each: plan[each.name] for each in self.narrowings if plan.get(each.name)}

    def factors(self, plan: Mapping[str, int], cuts: ChannelCuts | None) -> dict[str, Factors]:
        """Reader to the factors that a plan makes of some statistics."""
        chosen = self.chosen(plan)
        return cuts.factors(chosen) if chosen and cuts is not None else {}

    def taken(self, plan: Mapping[str, int]) -> ChannelFactors:
        """What a plan takes out, by all data."""
        kept: dict[str, Indices] = {}
        readers: dict[str, Target] = {}
        for each, width in self.chosen(plan).items():
            assert self.observed is not None
            kept[each.group.name] = self.observed.cuts.elimination(each).kept(width)
            readers |= {target.name: target for target in each.readers}
        cuts = None if self.observed is None else self.observed.cuts
        return ChannelFactors(kept, self.factors(plan, cuts), list(readers.values()))

    def shares(self, plan: Mapping[str, int]) -> dict[str, ChannelShares]:
        """Operator to what it still reads and computes of channels, of those that a plan changes.

        Channelwise operators with a weight are among them.
        """
        found: dict[str, ChannelShares] = {}
        for narrowing, width in self.chosen(plan).items():
            group, gone = narrowing.group, narrowing.width - width
            for target, reader in zip(narrowing.readers, group.readers, strict=True):
                own = found.get(target.operator, ChannelShares())
                channels = target.rows // reader.rows.shape[1]
                found[target.operator] = own.reading(gone, channels)
            for target, columns in zip(narrowing.producers, group.columns, strict=True):
                own = found.get(target.operator, ChannelShares())
                channels = target.groups * target.columns // columns.shape[1]
                found[target.operator] = own.computing(gone, channels)
            for node in group.nodes:
                own = found.get(node.name or "", ChannelShares())
                found[node.name or ""] = own.beside(width, narrowing.width)
        return found

    def cuts_of(self, fold: int) -> ChannelCuts | None:
        """The cuts that all folds but one give."""
        return None if self.observed is None else self.observed.apart.without(fold)


def find_channels(
    run: CalibrationRun, macs: float = math.inf, observed: Collection[str] | None = None
) -> Channels:
    """Finds channels that may be narrowed: those to observe (see `Companion`).

    Args:
        run: The model and the data; the targets are operators.
        macs: Multiplications of the dense model for one sample.
        observed: Names of those that are, where that was settled before; None for what pays.
    """
    narrowings, refused = find_narrowings(run.normal, run.targets)
    dear, work = affordable(run, macs, narrowings)
    if observed is not None:
        dear = {each.name: _NOT_SEEN for each in narrowings if each.name not in observed}
    refused += [each.refused(dear[each.name]) for each in narrowings if each.name in dear]
    narrowings = [each for each in narrowings if each.name not in dear]
    if not narrowings:
        return Channels(refused=refused)
    folds = int(run.surveyed.folds.max()) + 1
    seen = ObservedChannels(narrowings, run.data.calibration_samples, folds)
    return Channels(narrowings, refused, seen, work=work)


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
