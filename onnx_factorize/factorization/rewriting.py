"""Put factors into a copy of the graph."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..files.model_io import weight_bytes
from ..passes import Factors, RewriteTargets, Target
from ..passes.identity_blocks import WriteIdentityBlocks
from ..passes.narrowing import NarrowChannels
from ..passes.narrowing.group import Indices
from ..runtime.paging import LARGE, spill_values
from ..statistics.model_statistics import TargetStatistics
from .bias_correction import factors_of
from .forms import form_that_cuts
from .spectrum import Spectrum

__all__ = ["NO_CHANNELS", "ChannelFactors", "factors_by_name", "rewritten", "with_factors"]


@dataclasses.dataclass(frozen=True)
class ChannelFactors:
    """Channels that go, and what their readers become.

    Attributes:
        kept: Group to the channels that stay, as `NarrowChannels` takes them.
        factors: Reader to its factors.
        readers: The readers.
    """

    kept: Mapping[str, Indices] = dataclasses.field(default_factory=dict)
    factors: Mapping[str, Factors] = dataclasses.field(default_factory=dict)
    readers: Sequence[Target] = ()


NO_CHANNELS = ChannelFactors()


def rewritten(
    model: ir.Model,
    targets: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, TargetStatistics],
    channels: ChannelFactors = NO_CHANNELS,
) -> ir.Model:
    """A copy of a model in which targets have the given ranks.

    Args:
        model: The user's model, or the normalised one; it is not changed.
        targets: Its targets, and further unfoldings of them.
        ranks: Unfolding name to rank; unfoldings without an entry, or with rank 0, are not cut.
        spectra: Unfolding name to spectrum.
        statistics: Unfolding name to what calibration found, for the correction of biases.
        channels: What is narrowed.
    """
    narrowed = channels.factors
    if weight_bytes(model) <= LARGE:
        factors = factors_by_name(targets, ranks, spectra, statistics)
        return with_factors(model, {**factors, **narrowed}, channels)
    compressed = model.clone()
    # A large model is rewritten operator by operator, so that the factors of one are in memory.
    chosen = _by_operator(targets, ranks)
    forms = {name: form_that_cuts(cut) for name, cut in chosen.items()}
    blocks = {name: form.block_type for name, form in forms.items() if form.identity}
    parts = (_factors(unfoldings, ranks, spectra, statistics) for unfoldings in chosen.values())
    every = itertools.chain(parts, [narrowed])
    RewriteTargets.in_parts(every, [*chosen, *narrowed], spill_values)(compressed)
    NarrowChannels(channels.kept)(compressed)
    if blocks:
        WriteIdentityBlocks(blocks)(compressed)
        spill_values(compressed.graph.initializers.values())
    return compressed


def with_factors(
    model: ir.Model,
    factors: Mapping[str, Factors],
    channels: ChannelFactors,
    *,
    identity: bool = True,
) -> ir.Model:
    """A copy of a model with given factors, those of the readers of channels among them.

    Args:
        model: The user's model, or the normalised one; it is not changed.
        factors: Target name to factors.
        channels: The channels that go.
        identity: Whether identity blocks are written, or left for later: factors can be trained.
    """
    compressed = model.clone()
    RewriteTargets(factors)(compressed)
    NarrowChannels(channels.kept)(compressed)
    blocks = _blocks(factors)
    if identity and blocks:
        WriteIdentityBlocks(blocks)(compressed)
    return compressed


def _blocks(factors: Mapping[str, Factors]) -> dict[str, str | None]:
    """The operators whose factors are written as identity blocks, and the types of those."""
    return {
        each.operator or name: each.block_type for name, each in factors.items() if each.identity
    }


def factors_by_name(
    targets: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, TargetStatistics],
) -> dict[str, Factors]:
    """The factors of targets, and of those tied to them, as `RewriteTargets` takes them.

    The arguments are those of `rewritten`.
    """
    factors: dict[str, Factors] = {}
    for unfoldings in _by_operator(targets, ranks).values():
        factors |= _factors(unfoldings, ranks, spectra, statistics)
    return factors


def _by_operator(targets: Sequence[Target], ranks: Mapping[str, int]) -> dict[str, list[Target]]:
    """The unfoldings that are cut, by operator."""
    chosen: dict[str, list[Target]] = {}
    for target in targets:
        if ranks.get(target.name):
            chosen.setdefault(target.operator, []).append(target)
    return chosen


def _factors(
    unfoldings: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, TargetStatistics],
) -> dict[str, Factors]:
    """The factors of an operator, of which one or two unfoldings are cut, and of all tied."""
    unfolding = unfoldings[0]
    name, rank = unfolding.name, ranks[unfolding.name]
    own = factors_of(unfolding, spectra[name], statistics.get(name), rank)
    names = [each.name for each in unfoldings]
    form = form_that_cuts(unfoldings)
    own = form.factors(own, [spectra[each] for each in names], [ranks[each] for each in names])
    factors = {name: dataclasses.replace(own, operator=unfolding.operator)}
    for use in unfolding.tied:
        factors[use.name] = own.flipped if use.flipped else own
    return factors
