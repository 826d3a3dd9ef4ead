"""Ranks that are found while training: iterative singular value thresholding between factors.

The zero-shot plan says which operators are cut in which form, and what they may cost. Training
starts from the same cuts with more components, and takes away what matters least as it goes, until
the cost is that of the plan. So a small model is trained all the time, and a component goes when
the others have had steps to make up for those before it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir
import torch

from ..arithmetic import count_arithmetic
from ..balance import balanced
from ..calibration import CalibrationData
from ..candidates import automatic_multiple
from ..errors import InputError
from ..forms import views_of
from ..passes import OutputKind, RewriteTargets, Target, sign
from ..recovery import Recovery, Thresholds
from ..rewriting import factors_by_name
from ..session import Session
from .bottleneck import Bottleneck, find_bottlenecks
from .check import check_against_onnxruntime
from .gramians import Gramians, measure_gramians
from .module import GraphModule, to_torch
from .narrowing import narrow
from .rank_reduction import RankReduction, cost_of
from .schedule import Schedule
from .trainer import patience_of, validating_samples, validation_of
from .training_run import TrainingRun
from .write_back import write_back

if TYPE_CHECKING:
    from ..options import Options
    from ..pipeline import Calibrated
    from ..plan import Plan

__all__ = ["recover_by_svt"]

# Ranks at first, as a multiple of the plan's.
_WIDER = 1.5

# Share of the steps in which ranks come down, and in how many proximal steps.
_DOWN = 0.4
_PROXIMAL_STEPS = 12

# Samples that what matters is measured on each time.
_SAMPLES = 256


def recover_by_svt(
    known: Calibrated,
    compressed: ir.Model,
    plan: Plan,
    options: Options,
    advance: Callable[[int], None],
) -> tuple[ir.Model, Plan, Recovery]:
    """Finds ranks while training, at the cost that a plan bought.

    The arguments are those of `recovery.recover`. If what comes out is worse than the zero-shot
    result on samples that were not trained on, that is kept, untrained.

    Raises:
        InputError: The graph cannot be run in torch, there are too few samples, or there is nothing
            whose ranks could change.
    """
    training, seed, runtime = options.training, options.selection.seed, options.runtime
    views = _views_of(find_bottlenecks(compressed), known.targets, plan)
    if not views:
        raise InputError("--svt finds no factors that it could make narrower: leave it out.")
    multiples = _multiples(views, known.targets, options)
    wide = _wide(known, plan, views, multiples, options)
    bottlenecks = [each for each in find_bottlenecks(wide) if each.value in views]

    validating = validating_samples(known.data)
    module, dense = to_torch(wide), Session(known.dense, runtime)
    first = next(known.data.batches("calibration"))
    check_against_onnxruntime(module, wide, first.feeds, runtime=runtime)
    torch.manual_seed(seed)
    run = TrainingRun(module, dense, known.kinds, known.data, validating, training, seed)
    macs = None
    if options.budget.kind == "macs":
        macs = count_arithmetic(wide, first.feeds, runtime, first.samples).nodes
    prices = _prices(wide, bottlenecks, macs)
    start = cost_of(bottlenecks, prices, {each.value: each.width for each in bottlenecks})
    end = cost_of(
        bottlenecks, prices, {value: plan.ranks[view.name] for value, view in views.items()}
    )
    down = max(1, int(_DOWN * run.steps))
    reduction = RankReduction(
        run.optimizer,
        module,
        bottlenecks,
        _measuring(module, bottlenecks, known.kinds, known.data, seed),
        prices,
        schedule=Schedule(start, end, down),
        every=max(1, down // _PROXIMAL_STEPS),
        shrinkage=training.svt,
        multiples=multiples,
    )
    run.stepper = reduction
    run.start()
    curve: list[Thresholds] = []
    while not run.over(patience_of(training)):
        if reduction.over:
            run.epoch(advance)
            continue
        # What is wider than it may be is no result, however good.
        run.recovery.after, run.recovery.best = math.inf, 0
        run.epoch(advance)
        curve.append(_record(run.recovery, reduction, start))
    before = validation_of(
        known.dense, compressed, known.kinds, known.data, training, runtime, seed
    )
    recovery = dataclasses.replace(
        run.recovery,
        before=before,
        best=run.recovery.best - len(curve),
        epochs=run.recovery.epochs[len(curve) :],
        svt=curve,
        ranks_from="svt",
    )
    if not reduction.over or not recovery.after < before:
        recovery.after, recovery.best, recovery.ranks_from = before, 0, "plan"
        return compressed, plan, recovery
    run.restore_best()
    write_back(module, wide)
    narrow(wide, bottlenecks, reduction.ranks)
    check_against_onnxruntime(to_torch(wide), wide, first.feeds, runtime=runtime)
    ranks = {view.name: reduction.ranks[value] for value, view in views.items()}
    changed = {view.operator for view in views.values()}
    losses = {name: loss for name, loss in plan.losses.items() if name not in changed}
    return wide, dataclasses.replace(plan, ranks={**plan.ranks, **ranks}, losses=losses), recovery


def _views_of(
    bottlenecks: Sequence[Bottleneck], targets: Sequence[Target], plan: Plan
) -> dict[str, Target]:
    """The view whose rank a bottleneck is, by the name of the bottleneck's value."""
    by_operator: dict[str, list[Bottleneck]] = {}
    for each in bottlenecks:
        by_operator.setdefault(each.operator, []).append(each)
    found: dict[str, Target] = {}
    for target in targets:
        own = by_operator.get(target.operator, [])
        cut = [view for view in views_of(target) if plan.ranks.get(view.name)]
        if len(own) != len(cut) or target.siblings:
            continue
        # Of Tucker-2 the own view comes first, whose rank is that of the output.
        found |= dict(zip([each.value for each in own], reversed(cut), strict=True))
    return found


def _multiples(
    views: Mapping[str, Target], targets: Sequence[Target], options: Options
) -> dict[str, int]:
    """What ranks are multiples of, by the name of the bottleneck's value."""
    params = sum(target.params for target in targets)
    return {
        value: options.rank_multiple or automatic_multiple(view, params)
        for value, view in views.items()
    }


def _wide(
    known: Calibrated,
    plan: Plan,
    views: Mapping[str, Target],
    multiples: Mapping[str, int],
    options: Options,
) -> ir.Model:
    """The plan's model with more components."""
    ranks = dict(plan.ranks)
    for value, view in views.items():
        blocks = math.ceil(_WIDER * ranks[view.name] / multiples[value])
        ranks[view.name] = min(blocks * multiples[value], view.full_rank)
    cut = [view for target in known.targets for view in views_of(target) if ranks.get(view.name)]
    analysis = known.analysis
    named = [each for each in analysis.candidates if plan.origin.startswith(each.name)]
    candidate = (named or analysis.candidates)[0]
    spectra = {view.name: analysis.spectrum(view, candidate) for view in cut}
    factors = factors_by_name(cut, ranks, spectra, analysis.statistics)
    model = known.dense.clone()
    RewriteTargets(balanced(factors, cut))(model)
    sign(model, options.provenance())
    return model


def _prices(
    model: ir.Model, bottlenecks: Sequence[Bottleneck], macs: Mapping[str, int] | None
) -> dict[str, float]:
    """What each weight beside a bottleneck costs: its elements, or its multiplications."""
    factors = [factor for each in bottlenecks for factor in (each.before, each.after)]
    if macs is not None:
        return {factor.weight: float(macs.get(factor.node, 0)) for factor in factors}
    sizes = {}
    for factor in factors:
        tensor = model.graph.initializers[factor.weight].const_value
        assert tensor is not None
        sizes[factor.weight] = float(tensor.size)
    return sizes


def _measuring(
    module: GraphModule,
    bottlenecks: Sequence[Bottleneck],
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    seed: int,
) -> Callable[[], Gramians]:
    """Measures what matters, with other labels each time."""
    only, counter = data.some(_SAMPLES), itertools.count()

    def measure() -> Gramians:
        feeds = (batch.feeds for batch in data.batches("calibration", only=only))
        return measure_gramians(module, bottlenecks, kinds, feeds, seed=seed + next(counter))

    return measure


def _record(recovery: Recovery, reduction: RankReduction, start: float) -> Thresholds:
    epoch, last = recovery.epochs[-1], reduction.history[-1] if reduction.history else None
    if last is None:
        return Thresholds(epoch.loss, epoch.validation, None, {}, 0.0)
    return Thresholds(epoch.loss, epoch.validation, last.cost / start, last.ranks, last.dropped)
