"""Latencies of operators, in every form and at every rank, and of channels at every width."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ..allocation.candidates import rank_multiple, smaller_ranks
from ..allocation.channel_prices import ChannelPrices
from ..allocation.identity_blocks import as_pairs
from ..allocation.model_costs import Costs
from ..calibration import Batch
from ..errors import InputError
from ..factorization.forms import form_that_cuts, unfoldings_of
from ..factorization.narrowing.narrowing import Narrowing
from ..files.digest import digest_of
from ..options import Budget, Options
from ..passes import Target
from ..progress import Progress
from ..runtime.channel_curves import measure_channels
from ..runtime.interleaved import latencies
from ..runtime.latency_cache import LatencyCache
from ..runtime.latency_curve import bytes_between, measure_curves
from ..runtime.latency_profile import LatencyProfile, Subject
from ..runtime.latency_source import LatencySource
from ..runtime.runtimes import runtime_of
from ..runtime.this_machine import ThisMachine
from .budgets import price_of, spends_time

__all__ = ["latency_source", "timed_channels", "timed_costs", "timed_model", "timed_targets"]


def latency_source(options: Options, dense: ir.Model) -> LatencySource:
    """Who tells latencies: this machine, or the profile that was given.

    Args:
        options: How models are run, and the profile.
        dense: The dense model, of which a profile must be.

    Raises:
        InputError: The profile is of something else, or does not tell what the budget needs.
    """
    files = options.runtime.latency_profile
    if not files:
        return ThisMachine(LatencyCache(runtime_of(options.runtime)))
    opset = dense.opset_imports.get("", 0)
    subject = Subject(digest_of(dense), opset, options.runtime.threads)
    profile = LatencyProfile.load(files, subject)
    if spends_time(options) and profile.whole is None:
        raise InputError(
            f"{files[0]} does not tell what the dense model takes, which the budget is a share of: "
            "run the kit with --dense MODEL."
        )
    return profile


def timed_costs(
    costs: Costs,
    samples: int,
    normal: ir.Model,
    targets: list[Target],
    options: Options,
    progress: Progress,
    source: LatencySource,
) -> Costs:
    """Costs with the latency of every target, in every unfolding, at every rank.

    Args:
        costs: What else the dense model costs, with its latency of a sample.
        samples: Samples of the feed whose shapes the operators are timed in.
        normal: The normalised model.
        targets: Its targets.
        options: How it runs, and how ranks are rounded.
        progress: What is told how far the run is.
        source: Who tells latencies.
    """
    all_params = sum(target.params for target in targets)
    unfoldings = [unfolding for target in targets for unfolding in unfoldings_of(target)]
    forms = {unfolding.name: form_that_cuts([unfolding]) for unfolding in unfoldings}
    ranks = {
        v.name: smaller_ranks(v, rank_multiple(v, all_params, options, fast=True), forms[v.name])
        for v in unfoldings
    }
    with progress.stage(f"{source.verb} operators", len(unfoldings)) as advance:
        curves = measure_curves(
            normal,
            unfoldings,
            costs.arithmetic.shapes,
            ranks,
            source,
            advance,
            {name: form.chain for name, form in forms.items() if form.chain is not None},
        )
    told = source.samples(samples)
    shared = {name: curve.shared(told) for name, curve in curves.items()}
    return dataclasses.replace(costs, curves=shared)


def timed_model(
    costs: Costs, dense: ir.Model, sample: Batch, options: Options, source: LatencySource
) -> Costs:
    """Costs with the latency of the dense model.

    Args:
        costs: What else it costs.
        dense: The dense model.
        sample: What it is timed on.
        options: How it runs.
        source: Who tells latencies.
    """
    latency = source.dense()
    if source.measures:
        session = runtime_of(options.runtime).session(dense)
        latency = latencies([session], sample.feeds, samples=sample.samples).least[0]
    return dataclasses.replace(costs, latency_ms=latency)


def timed_targets(
    costs: Costs,
    samples: int,
    normal: ir.Model,
    targets: list[Target],
    options: Options,
    progress: Progress,
    source: LatencySource,
) -> tuple[list[Target], Costs]:
    """The targets with their latencies, as identity blocks only where those are no slower.

    Both lose the same at a rank, and pairs are measured beside blocks where the choice is free.

    Args:
        costs: What else the dense model costs, with its latency of a sample.
        samples: Samples of the feed whose shapes the operators are timed in.
        normal: The normalised model.
        targets: Its targets, marked where an identity block can be.
        options: Whether it is free, how models run, and how ranks are rounded.
        progress: What is told how far the run is.
        source: Who tells latencies.
    """

    def timed(some: list[Target]) -> Costs:
        return timed_costs(costs, samples, normal, some, options, progress, source)

    told = timed(targets)
    names = {t.operator for t in targets if any(each.identity for each in unfoldings_of(t))}
    if options.factors != "auto" or not names:
        return targets, told
    pairs = as_pairs(targets, names)
    plain = timed([target for target in pairs if target.operator in names])
    slower = {
        target.operator
        for target in targets
        if target.operator in names and _slower(target, told, plain)
    }
    curves = {
        unfolding.name: plain.curves[unfolding.name]
        for target in targets
        if target.operator in slower
        for unfolding in unfoldings_of(target)
        if unfolding.name in plain.curves
    }
    return as_pairs(targets, slower), dataclasses.replace(told, curves={**told.curves, **curves})


def _slower(target: Target, block: Costs, pair: Costs) -> bool:
    """Tells whether an operator is slower as identity blocks than as pairs, at equal ranks."""
    ratios = []
    for unfolding in unfoldings_of(target):
        own, other = (costs.curves.get(unfolding.name) for costs in (block, pair))
        if unfolding.identity and own is not None and other is not None and other.ranks:
            ranks = np.array(other.ranks)
            ratios.append(np.log(own.at(ranks) / other.at(ranks)).mean())
    return bool(ratios) and float(np.mean(ratios)) > 0


def timed_channels(
    costs: Costs,
    narrowings: Sequence[Narrowing],
    normal: ir.Model,
    targets: Sequence[Target],
    sample: Batch,
    options: Options,
    progress: Progress,
    source: LatencySource,
) -> Costs:
    """Costs with the latency of channels at every width, where budgets are of time.

    Args:
        costs: What else the dense model costs, with the latencies of its targets.
        narrowings: The channels.
        normal: The normalised model.
        targets: Its targets.
        sample: What the model is timed on.
        options: How it runs.
        progress: What is told how far the run is.
        source: Who tells latencies.
    """
    if not narrowings or not spends_time(options):
        return costs
    price = price_of(Budget("latency", 1.0), costs)
    widths = ChannelPrices.of(narrowings, targets, price).widths
    with progress.stage(f"{source.verb} channels", len(narrowings)) as advance:
        curves = measure_channels(
            normal,
            {each.name: each.group for each in narrowings},
            {each.name: own for each, own in zip(narrowings, widths, strict=True)},
            sample.feeds,
            bytes_between(targets),
            source,
            runtime_of(options.runtime),
            advance,
        )
    told = source.samples(sample.samples)
    shared = {name: curve.shared(told) for name, curve in curves.items()}
    return dataclasses.replace(costs, channels=shared)
