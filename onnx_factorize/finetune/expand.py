"""The start of thresholding: the cuts of a plan, with more components than it may keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..allocation.calibrated import Calibrated
from ..allocation.candidates import rank_multiple
from ..allocation.plan import Plan
from ..factorization.balance import balanced
from ..factorization.forms import unfoldings_of
from ..factorization.rewriting import factors_by_name, with_factors
from ..options import Options
from ..passes import Target, sign
from .bottleneck import Bottleneck

__all__ = ["expanded", "multiples_of", "prices_of", "unfoldings_by_value"]


def unfoldings_by_value(
    bottlenecks: Sequence[Bottleneck], targets: Sequence[Target], plan: Plan
) -> dict[str, Target]:
    """The unfolding whose rank a bottleneck is, by the name of the bottleneck's value."""
    by_operator: dict[str, list[Bottleneck]] = {}
    for each in bottlenecks:
        by_operator.setdefault(each.operator, []).append(each)
    found: dict[str, Target] = {}
    for target in targets:
        own = by_operator.get(target.operator, [])
        cut = [unfolding for unfolding in unfoldings_of(target) if plan.ranks.get(unfolding.name)]
        if len(own) != len(cut) or target.tied:
            continue
        # Of Tucker-2 the own unfolding comes first, whose rank is that of the output.
        found |= dict(zip([each.value for each in own], reversed(cut), strict=True))
    return found


def multiples_of(
    unfoldings: Mapping[str, Target], targets: Sequence[Target], options: Options
) -> dict[str, int]:
    """The multiples that ranks are rounded to, by the name of the bottleneck's value."""
    params = sum(target.params for target in targets)
    return {
        value: rank_multiple(unfolding, params, options) for value, unfolding in unfoldings.items()
    }


def expanded(
    known: Calibrated,
    plan: Plan,
    unfoldings: Mapping[str, Target],
    share: float,
    options: Options,
) -> ir.Model:
    """The plan's model with more components.

    Args:
        known: The calibrated model.
        plan: The plan.
        unfoldings: The unfoldings that get more, by the name of their bottleneck's value.
        share: What ranks are multiplied by.
        options: What ranks are multiples of, and the model's metadata.
    """
    ranks, multiples = dict(plan.ranks), multiples_of(unfoldings, known.targets, options)
    for value, unfolding in unfoldings.items():
        blocks = math.ceil(share * ranks[unfolding.name] / multiples[value])
        ranks[unfolding.name] = min(blocks * multiples[value], unfolding.full_rank)
    cut = [
        unfolding
        for target in known.targets
        for unfolding in unfoldings_of(target)
        if ranks.get(unfolding.name)
    ]
    analysis = known.analysis
    candidate = plan.candidate or analysis.candidates[0]
    spectra = {unfolding.name: analysis.spectrum(unfolding, candidate) for unfolding in cut}
    factors = factors_by_name(cut, ranks, spectra, analysis.statistics)
    channels = analysis.channels.taken(ranks)
    every = {**balanced(factors, cut), **channels.factors}
    model = with_factors(known.start, every, channels)
    sign(model, options.provenance())
    return model


def prices_of(
    model: ir.Model, bottlenecks: Sequence[Bottleneck], macs: Mapping[str, int] | None
) -> dict[str, float]:
    """The price of each weight beside a bottleneck: its elements, or its multiplications."""
    factors = [factor for each in bottlenecks for factor in (each.down, each.up)]
    if macs is not None:
        return {factor.weight: float(macs.get(factor.node, 0)) for factor in factors}
    sizes = {}
    for factor in factors:
        tensor = model.graph.initializers[factor.weight].const_value
        assert tensor is not None
        sizes[factor.weight] = float(tensor.size)
    for each in bottlenecks:
        if each.down.turned:  # it adds a row of zeros: see `RewriteGemm`
            sizes[each.down.weight] += each.width
    return sizes
