"""Ranks that are found while training: iterative singular value thresholding between factors.

The zero-shot plan says which operators are cut in which form, and what they may cost. Training
starts from the same cuts with more components, and takes away what matters least as it goes, until
the cost is that of the plan. So a small model is trained all the time, and a component goes when
the others have had steps to make up for those before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir
import torch

from ..allocation.calibrated import Calibrated
from ..allocation.plan import Plan
from ..errors import InputError
from ..goals.budgets import check_budget
from ..options import Options, Training
from ..passes import Target, fixed_draws
from ..runtime.arithmetic import count_arithmetic
from ..runtime.runtimes import runtime_of
from ..torch.check import check_against_onnxruntime
from ..torch.module import GraphModule, to_torch
from ..torch.write_back import write_back
from .bottleneck import Bottleneck, find_bottlenecks
from .cost_schedule import Schedule
from .expand import expanded, multiples_of, prices_of, unfoldings_by_value
from .gramians import Gramians, measure_gramians
from .rank_reduction import RankReduction, cost_of
from .teacher import Teacher
from .trainer import finetune, patience_of, trained_module, validating_samples, validation_of
from .training import Recovery, Thresholds
from .training_run import TrainingRun
from .truncate import truncate

__all__ = ["recover_by_svt"]

# Ranks at first, as a multiple of the plan's.
_EXPANDED = 1.5

# Share of the steps in which ranks come down, and in how many proximal steps.
_DOWN = 0.5
_PROXIMAL_STEPS = 12

# Samples that what matters is measured on each time.
_SAMPLES = 256


def recover_by_svt(
    known: Calibrated,
    compressed: ir.Model,
    plan: Plan,
    teacher: Teacher,
    options: Options,
    advance: Callable[[int], None],
) -> tuple[ir.Model, Plan, Recovery]:
    """Finds ranks while training, at the cost of a plan.

    If what is there when the cost has come down is worse than the plan untrained, on samples that
    are not trained on, the plan's factors are trained for the epochs that are left.

    Args:
        known: What is known of the dense model.
        compressed: The compressed one. Its constants may be replaced.
        plan: How it was made.
        teacher: The dense model.
        options: How to train.
        advance: Called after each batch with its number of samples.

    Raises:
        InputError: The graph cannot be run in torch, there are too few samples, or there is nothing
            whose ranks could change.
    """
    training, seed, runtime = options.training, options.selection.seed, runtime_of(options.runtime)
    unfoldings = unfoldings_by_value(find_bottlenecks(compressed), known.targets, plan)
    if not unfoldings:
        raise InputError("--svt finds no factors that it could make narrower: leave it out.")
    wide = expanded(known, plan, unfoldings, _EXPANDED, options)
    validating = validating_samples(known.data)
    module = trained_module(wide, known.outputs).to(training.device)
    first = next(known.data.micro_batches("calibration"))
    check_against_onnxruntime(module, wide, first.feeds, runtime=runtime)
    torch.manual_seed(seed)
    run = TrainingRun(module, teacher, known.data, validating, training, seed)
    reduction = _reduction_of(known, plan, wide, unfoldings, module, run, options)
    run.stepper = reduction
    run.start()
    before = validation_of(compressed, teacher, known.data, training.device)
    _bring_down(run, reduction, before, unfoldings, training, advance)
    curve = run.recovery.svt
    if not reduction.over or not run.recovery.after < before:
        recovery = Recovery(before, before)
        rest = _rest_of(training, len(curve))
        if rest is not None:
            recovery = finetune(compressed, teacher, known.data, rest, runtime, seed, advance)
        return compressed, plan, dataclasses.replace(recovery, svt=curve)
    while not run.over(patience_of(training)):
        run.epoch(advance)
        run.save()
    recovery = _after(run.recovery, before, len(curve))
    run.restore_best()
    write_back(module, wide)
    truncate(wide, reduction.bottlenecks, reduction.ranks)
    check_against_onnxruntime(to_torch(fixed_draws(wide)), wide, first.feeds, runtime=runtime)
    return wide, _plan_of(plan, reduction, unfoldings), recovery


def _after(recovery: Recovery, before: float, thresholded: int) -> Recovery:
    """The record of a training whose first epochs found ranks, without those."""
    return dataclasses.replace(
        recovery,
        before=before,
        best=recovery.best - thresholded,
        epochs=recovery.epochs[thresholded:],
        ranks_from="svt",
    )


def _plan_of(plan: Plan, reduction: RankReduction, unfoldings: Mapping[str, Target]) -> Plan:
    """The plan with the ranks that were found; what it predicted for others no longer holds."""
    ranks = {unfolding.name: reduction.ranks[value] for value, unfolding in unfoldings.items()}
    changed = {unfolding.operator for unfolding in unfoldings.values()}
    losses = {name: loss for name, loss in plan.losses.items() if name not in changed}
    return dataclasses.replace(plan, ranks={**plan.ranks, **ranks}, losses=losses)


def _bring_down(
    run: TrainingRun,
    reduction: RankReduction,
    before: float,
    unfoldings: Mapping[str, Target],
    training: Training,
    advance: Callable[[int], None],
) -> None:
    """Trains until the cost has come down, and records each epoch."""
    # By where the epoch began: if it is continued, the cost may have come down within it before.
    while not reduction.over_after(run.epoch_began) and not run.over(patience_of(training)):
        if not run.within_epoch:
            run.rebase()
            # To come near to what the plan gives at once is no loss that a slower rate would avoid.
            run.recovery.after = max(run.recovery.after, before)
        run.epoch(advance)
        # The epoch may have been undone.
        reduction.reread()
        run.recovery.svt.append(_record(run.recovery, reduction, unfoldings))
        if reduction.over:
            run.rebase()
        run.save()


def _rest_of(training: Training, over: int) -> Training | None:
    """The training of the plan's factors in the epochs that are left, if any are."""
    if over >= training.epochs:
        return None
    epochs, path = training.epochs - over, training.plan_checkpoint
    return dataclasses.replace(training, epochs=epochs, svt="none", checkpoint=path)


def _reduction_of(
    known: Calibrated,
    plan: Plan,
    wide: ir.Model,
    unfoldings: Mapping[str, Target],
    module: GraphModule,
    run: TrainingRun,
    options: Options,
) -> RankReduction:
    """The reduction of a wide model to the cost of a plan.

    Args:
        known: The calibrated model.
        plan: The plan.
        wide: The wide model.
        unfoldings: The unfolding whose rank a bottleneck is, by the name of the bottleneck's value.
        module: The same in torch.
        run: Its training.
        options: The unit of the cost, and how to shrink.
    """
    bottlenecks = [each for each in find_bottlenecks(wide) if each.value in unfoldings]
    macs = None
    if check_budget(options.budget).by_macs:
        first = next(known.data.micro_batches("calibration"))
        macs = count_arithmetic(wide, first.feeds, runtime_of(options.runtime), first.samples).nodes
    prices = prices_of(wide, bottlenecks, macs)
    start = cost_of(bottlenecks, prices, {each.value: each.width for each in bottlenecks})
    planned = {value: plan.ranks[unfolding.name] for value, unfolding in unfoldings.items()}
    down = max(1, int(_DOWN * run.steps))
    dense = {unfolding.operator: unfolding.params for unfolding in unfoldings.values()}
    if macs is not None:
        dense = {name: known.costs.arithmetic.nodes[name] for name in dense}
    return RankReduction(
        run.optimizer,
        module,
        bottlenecks,
        _measuring(module, bottlenecks, known, options.selection.seed),
        prices,
        schedule=Schedule(
            start,
            cost_of(bottlenecks, prices, planned),
            down,
            every=max(1, down // _PROXIMAL_STEPS),
            dense=sum(dense.values()),
        ),
        shrinkage=options.training.svt,
        multiples=multiples_of(unfoldings, known.targets, options),
    )


def _measuring(
    module: GraphModule, bottlenecks: Sequence[Bottleneck], known: Calibrated, seed: int
) -> Callable[[int], Gramians]:
    """Measures what matters, with other labels each time."""
    only = known.data.some(_SAMPLES)

    def measure(number: int) -> Gramians:
        batches = known.data.batches("calibration", only=only)
        return measure_gramians(module, bottlenecks, known.outputs, batches, seed=seed + number)

    return measure


def _record(
    recovery: Recovery, reduction: RankReduction, unfoldings: Mapping[str, Target]
) -> Thresholds:
    epoch = recovery.epochs[-1]
    if not reduction.history:
        return Thresholds(epoch.loss, epoch.validation, None, {}, 0.0)
    last = reduction.history[-1]
    ranks = {unfoldings[value].name: rank for value, rank in last.ranks.items()}
    return Thresholds(epoch.loss, epoch.validation, last.share, ranks, last.dropped)
