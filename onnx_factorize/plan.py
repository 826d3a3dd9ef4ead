"""Choose a rank for every target within the budget, and rewrite the graph by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from . import model_io
from .allocation import Choices, allocate_global, allocate_uniform
from .analysis import Analysis
from .candidates import automatic_multiple, candidates, only_dense
from .costs import Costs
from .errors import BudgetError
from .options import Options
from .passes import Target
from .rewriting import rewritten

__all__ = ["Plan", "compress"]

Array = npt.NDArray[np.float64]

# A budget is met when the result, as measured, is below it. Corrections are small (the size of
# names, new biases), so a few rounds are plenty.
_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Plan:
    """One candidate for each target.

    Attributes:
        ranks: Target name to rank, or `DENSE`.
        losses: Target name to the loss predicted for its rank.
    """

    ranks: dict[str, int]
    losses: dict[str, float]

    @property
    def predicted(self) -> float:
        """The loss of the whole model, to second order."""
        return sum(self.losses.values())


def compress(
    normal: ir.Model,
    targets: list[Target],
    analysis: Analysis,
    costs: Costs,
    options: Options,
) -> tuple[ir.Model, Plan]:
    """Buys ranks within the budget and rewrites the model by them.

    Args:
        normal: The normalised model; it is not changed.
        targets: Its targets.
        analysis: What every cut of every target costs.
        costs: What the dense model costs.
        options: The budget, the allocation, and how ranks are rounded.

    Returns:
        The compressed model, and the plan by which it was made.

    Raises:
        BudgetError: The budget cannot be met, and the best effort was not asked for.
    """
    kind = options.budget.kind
    choices = _choices(targets, analysis.losses, costs, options)
    dense = costs.of(kind, targets)
    wanted = options.budget.limit(dense)
    fixed = dense - sum(choice.dense for choice in choices)
    least = sum(float(choice.costs[0]) for choice in choices)
    if fixed + least > wanted:
        if not options.best_effort:
            raise BudgetError(_unreachable(options, dense, fixed + least, targets))
        wanted = fixed + least
    room = wanted - fixed
    for _ in range(_ROUNDS):
        plan = _allocate(choices, max(room, least), options)
        compressed = rewritten(normal, targets, plan.ranks, analysis.spectra, analysis.statistics)
        over = _cost(kind, compressed, choices, plan, fixed) - wanted
        if over <= 0 or room <= least:
            break
        room -= over
    if over > 0 and not options.best_effort:
        raise BudgetError(_unreachable(options, dense, wanted + over, targets))
    return compressed, plan


def _choices(
    targets: Sequence[Target],
    losses: Mapping[str, Array],
    costs: Costs,
    options: Options,
) -> list[Choices]:
    all_params = sum(target.params for target in targets)
    kind = options.budget.kind
    choices = []
    for target in targets:
        macs = costs.arithmetic.nodes.get(target.name, 0)
        curve = losses.get(target.name)
        if curve is None:
            choices.append(only_dense(target, kind, macs))
            continue
        multiple = options.rank_multiple or automatic_multiple(target, all_params)
        choices.append(candidates(target, curve, kind, macs, multiple))
    return choices


def _allocate(choices: Sequence[Choices], limit: float, options: Options) -> Plan:
    allocate = allocate_global if options.ranks == "global" else allocate_uniform
    ranks = allocate(choices, limit)
    losses = {c.name: float(c.losses[c.index(ranks[c.name])]) for c in choices}
    return Plan(ranks, losses)


def _cost(
    kind: str, model: ir.Model, choices: Sequence[Choices], plan: Plan, fixed: float
) -> float:
    """What a rewritten model costs, in the budget's unit."""
    if kind == "params":
        return model_io.parameters(model)
    if kind == "bytes":
        return model_io.serialized_size(model)
    return fixed + sum(float(c.costs[c.index(plan.ranks[c.name])]) for c in choices)


def _unreachable(options: Options, dense: float, least: float, targets: list[Target]) -> str:
    kind, value = options.budget.kind, options.budget.value
    reach = f"{kind}={least / dense:.3f}" if value <= 1 else f"{least:.6g} {kind}"
    return (
        f"The budget {options.budget} cannot be met: {reach} is the least that factorizing the "
        f"{len(targets)} targets can reach; raise the budget, or add --best-effort to come as "
        "close as possible."
    )
