"""Ranks that are found while training: iterative singular value thresholding of the dense weights.

The dense graph is trained towards what it was, while its targets' ranks come down to the cost that
the zero-shot plan bought. What comes out is cut once, and tuned like any other result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from ..calibration import CalibrationData
from ..errors import InputError
from ..forms import cut_of, views_of
from ..passes import Factors, OutputKind, RewriteTargets, Target, sign
from ..recovery import Recovery, Thresholds, Training
from ..session import Runtime
from .check import check_against_onnxruntime
from .metric import measure_metric
from .module import GraphModule, to_torch
from .schedule import Schedule
from .svt import SVT
from .svt_target import SVTTarget
from .teacher import Teacher
from .trainer import finetune, validating_samples, validation_of
from .training_run import TrainingRun
from .write_back import write_back

if TYPE_CHECKING:
    from ..options import Options
    from ..pipeline import Calibrated
    from ..plan import Plan

__all__ = ["Thresholded", "recover_by_svt", "thresholded"]

# Operators whose own weight is a matrix of each group.
_OPERATORS = ("MatMul", "Gemm", "Conv")

# Samples that the metric is measured on: what it decides is settled by few.
_METRIC_SAMPLES = 256

# Proximal steps in all; each decomposes every target.
_PROXIMAL_STEPS = 40

# The learning rate by default. A trial would find none: the dense weights are what they imitate,
# and all that moves them is the shrinkage.
_RATE = 1e-3

# Share of the steps after which the cost is down and is held.
_DOWN = 0.8

# Rounds in which what rank 1 costs, where the multiplier asks for 0, is saved elsewhere.
_ROUNDS = 8


@dataclasses.dataclass(frozen=True)
class Thresholded:
    """What thresholding found.

    Attributes:
        model: The rewritten model.
        ranks: Target name to rank, 0 where it stays dense; only of what took part.
        curve: What happened, epoch by epoch.
    """

    model: ir.Model
    ranks: dict[str, int]
    curve: list[Thresholds]


def thresholded(
    dense: ir.Model,
    normal: ir.Model,
    targets: Sequence[Target],
    units: Mapping[str, tuple[float, float]],
    budget: float,
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    training: Training,
    runtime: Runtime,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Thresholded:
    """Trains the dense graph until its targets can be cut to a cost.

    Args:
        dense: The dense model.
        normal: The same, normalised; it is not changed.
        targets: Targets of the normalised graph that take part.
        units: Target name to what one component costs, and what it costs dense.
        budget: What all of them may cost.
        kinds: What each output stands for.
        data: The calibration data.
        training: For how long, how fast, and how to shrink.
        runtime: How onnxruntime runs the dense model.
        seed: Of the order of the samples, and of labels.
        advance: Called after each batch with its number of samples.

    Raises:
        InputError: The graph cannot be run in torch, or there are too few samples.
    """
    validating = validating_samples(data)
    module = to_torch(normal)
    first = next(data.batches("calibration")).feeds
    check_against_onnxruntime(module, normal, first, runtime=runtime)
    torch.manual_seed(seed)
    metric = _metric(module, targets, kinds, data, seed)
    whitened = [
        dataclasses.replace(SVTTarget.of(module, t, *metric[t.name]), unit=u[0], dense=u[1])
        for t in targets
        for u in [units[t.name]]
    ]
    teacher = Teacher(dense, kinds, runtime, label_share=training.label_share)
    run = TrainingRun(module, teacher, data, validating, training, seed)
    svt = SVT(
        run.optimizer,
        whitened,
        shrinkage=training.svt,
        schedule=Schedule(sum(t.dense for t in whitened), budget, int(_DOWN * run.steps)),
        every=max(1, run.steps // _PROXIMAL_STEPS),
    )
    run.stepper, run.steps_back = svt, False
    run.start()
    curve = []
    for _ in range(training.epochs):
        run.epoch(advance)
        epoch, record = run.recovery.epochs[-1], svt.history[-1] if svt.history else None
        curve.append(
            Thresholds(
                epoch.loss,
                epoch.validation,
                None if record is None else record.cost / sum(t.dense for t in whitened),
                {} if record is None else record.ranks,
                0.0 if record is None else float(np.mean(list(record.change.values()))),
            )
        )
    factors = _cut(svt, whitened, budget)
    model = normal.clone()
    write_back(module, model)
    RewriteTargets(factors)(model)
    ranks = {t.name: factors[t.name].rank if t.name in factors else 0 for t in targets}
    return Thresholded(model, ranks, curve)


def recover_by_svt(
    known: Calibrated,
    compressed: ir.Model,
    plan: Plan,
    options: Options,
    advance: Callable[[int], None],
) -> tuple[ir.Model, Plan, Recovery]:
    """Finds ranks while training, at the cost that a plan bought, and tunes what is cut.

    The arguments are those of `recovery.recover`. If what comes out is worse than the zero-shot
    result on samples that were not trained on, that is kept, untrained.
    """
    training, kind = options.training, options.budget.kind
    targets = _taking_part(known.targets)
    for target in known.targets:
        if target not in targets and cut_of(target, plan.ranks, 0).form is not None:
            raise InputError(
                f"--svt cannot threshold '{target.name}', which shares its weight or is no "
                f"MatMul, Gemm or Conv: exclude it (--exclude '{target.name}')."
            )
    units, budget = {}, 0.0
    for target in targets:
        macs = known.costs.arithmetic.nodes.get(target.operator, 0)
        cut = cut_of(target, plan.ranks, macs)
        if kind == "macs":
            one = float(target.factor_macs(np.array([1]), macs)[0])
            units[target.name] = (one, float(macs))
            budget += float(cut.macs)
        else:
            units[target.name] = (float(target.factor_params(1)), float(target.params))
            budget += float(cut.params)
    shared = (known.kinds, known.data)
    seed, runtime = options.selection.seed, options.runtime
    rate = training.learning_rate or _RATE
    first = dataclasses.replace(training, epochs=training.epochs // 2, learning_rate=rate)
    rest = dataclasses.replace(training, epochs=training.epochs - first.epochs, svt="none")
    found = thresholded(
        known.dense,
        known.normal,
        targets,
        units,
        budget,
        *shared,
        first,
        runtime,
        seed,
        advance,
    )
    recovery = finetune(known.dense, found.model, *shared, rest, runtime, seed, advance=advance)
    recovery.svt = found.curve
    recovery.before = validation_of(known.dense, compressed, *shared, rest, runtime)
    if not recovery.after < recovery.before:
        recovery.after, recovery.best = recovery.before, 0
        return compressed, plan, recovery
    recovery.ranks_from = "svt"
    sign(found.model, options.provenance())
    own = {view.name for target in targets for view in views_of(target)}
    ranks = {name: rank for name, rank in plan.ranks.items() if name not in own} | found.ranks
    losses = {name: loss for name, loss in plan.losses.items() if name not in own}
    return found.model, dataclasses.replace(plan, ranks=ranks, losses=losses), recovery


def _taking_part(targets: Sequence[Target]) -> list[Target]:
    """The targets that can be thresholded: one operator's own weight, as a matrix a group."""
    weights = [target.weight.name for target in targets]
    return [
        target
        for target in targets
        if target.op_type in _OPERATORS
        and not target.siblings
        and target.name == target.operator
        and weights.count(target.weight.name) == 1
    ]


def _metric(
    module: GraphModule,
    targets: Sequence[Target],
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    seed: int,
) -> dict[str, tuple[Tensor, Tensor]]:
    batches = data.batches("calibration", only=data.some(_METRIC_SAMPLES))
    feeds = (
        {name: torch.from_numpy(array) for name, array in batch.feeds.items()} for batch in batches
    )
    return measure_metric(module, targets, kinds, feeds, seed=seed)


def _cut(svt: SVT, targets: Sequence[SVTTarget], budget: float) -> dict[str, Factors]:
    """Factors within the budget, each of rank 1 at least."""
    units = {target.name: (target.unit, target.dense) for target in targets}
    room = budget
    for _ in range(_ROUNDS):
        found = svt.factors(room)
        factors = {name: _factors(*pair) for name, pair in found.items() if pair is not None}
        spent = sum(
            factors[name].rank * unit if name in factors else dense
            for name, (unit, dense) in units.items()
        )
        if spent <= budget:
            break
        room -= spent - budget
    return factors


def _factors(first: Tensor, second: Tensor) -> Factors:
    if not first.shape[-1]:
        return Factors(np.zeros((*first.shape[:2], 1)), np.zeros((len(second), 1, second.shape[2])))
    return Factors(first.numpy(), second.numpy())
