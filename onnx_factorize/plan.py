"""Choose a rank for every target within the budget, and rewrite the graph by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from . import model_io
from .allocation import Choices, allocate_global, allocate_uniform
from .analysis import Analysis
from .balance import balanced
from .candidates import automatic_multiple
from .costs import Costs
from .errors import BudgetError
from .forms import operator_choices, views_of
from .options import Options
from .paging import LARGE
from .passes import Factors, RewriteTargets, Target, sign
from .progress import Progress
from .refit import refit
from .rewriting import factors_by_name, rewritten
from .search import most_measurements, search
from .trial import Trial

__all__ = ["Plan", "compress"]

Array = npt.NDArray[np.float64]

# A budget is met when the result, as measured, is below it. Corrections are small (the size of
# names, new biases), so a few rounds are plenty.
_ROUNDS = 5

# Factors are left as they are unless refitting them gains more than chance.
_REFIT_GAIN = 0.97


@dataclasses.dataclass(frozen=True)
class Plan:
    """One candidate for each target.

    Attributes:
        ranks: Target name to rank, or `DENSE`.
        losses: Target name to the loss predicted for its rank.
        origin: The way in which it was chosen.
        tried: Way to measured divergence, where several were measured.
        trial: The divergence that was measured for this plan on unseen calibration samples.
        refit: What refitting the factors multiplied it by; None if that was not tried, or gained
            nothing.
        squares: Target name to σ² of its directions, for what is cut.
    """

    ranks: dict[str, int]
    losses: dict[str, float]
    origin: str
    tried: dict[str, float]
    trial: float | None
    refit: float | None = None
    squares: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    @property
    def second_order(self) -> float:
        """The loss of the whole model, to second order."""
        return sum(self.losses.values())

    @property
    def predicted(self) -> float:
        """What to expect of new data: as measured on unseen samples, else to second order."""
        return self.second_order if self.trial is None else self.trial


def compress(
    dense: ir.Model,
    targets: list[Target],
    analysis: Analysis,
    costs: Costs,
    options: Options,
    progress: Progress,
) -> tuple[ir.Model, Plan]:
    """Buys ranks within the budget and rewrites the model by them.

    Args:
        dense: The dense model; it is not changed.
        targets: Its targets.
        analysis: What every cut of every target costs.
        costs: What the dense model costs.
        options: The budget, the allocation, and how ranks are rounded.
        progress: What is told how far the run is.

    Returns:
        The compressed model, and the plan by which it was made.

    Raises:
        BudgetError: The budget cannot be met, and the best effort was not asked for.
    """
    kind = options.budget.kind
    candidate = analysis.candidates[0]
    choices = _choices(targets, candidate.losses, costs, options)
    cost = costs.of(kind, targets)
    wanted = options.budget.limit(cost)
    fixed = cost - sum(choice.dense for choice in choices)
    least = sum(float(choice.costs[0]) for choice in choices)
    if fixed + least > wanted:
        if not options.best_effort:
            raise BudgetError(_unreachable(options, cost, fixed + least, targets))
        wanted = fixed + least
    room = wanted - fixed

    def allocate(losses: Mapping[str, Array], uniform: bool) -> dict[str, int]:
        buy = allocate_uniform if uniform else allocate_global
        return buy(_choices(targets, losses, costs, options), max(room, least))

    tried: dict[str, float] = {}
    trial: float | None = None
    if analysis.trial is not None:
        most = most_measurements(analysis.candidates)
        with progress.stage("try plans", most) as advance:
            found = search(analysis.candidates, allocate, analysis.trial, advance)
        candidate, tried, trial = found.candidate, found.tried, found.divergence

    with progress.stage("rewrite"):
        for _ in range(_ROUNDS):
            ranks = allocate(candidate.losses, candidate.uniform)
            cut = [view for target in targets for view in views_of(target) if ranks.get(view.name)]
            spectra = {target.name: analysis.spectrum(target, candidate) for target in cut}
            compressed = rewritten(dense, cut, ranks, spectra, analysis.statistics)
            sign(compressed, options.provenance())
            over = _cost(kind, compressed, choices, ranks, fixed) - wanted
            if over <= 0 or room <= least:
                break
            # What was not spent must not be given again.
            room = min(room, sum(_cost_of(c, ranks) for c in choices)) - over
    if over > 0 and not options.best_effort:
        raise BudgetError(_unreachable(options, cost, wanted + over, targets))
    # What was predicted, in nats where there are gradients, whatever plan was chosen.
    losses = {choice.name: _loss(choice, ranks) for choice in choices}
    squares = {name: spectrum.squares for name, spectrum in spectra.items()}
    plan = Plan(ranks, losses, candidate.name, tried, trial, squares=squares)
    if not cut or model_io.weight_bytes(dense) > LARGE:
        return compressed, plan
    factors = factors_by_name(cut, ranks, spectra, analysis.statistics)
    return _improved(dense, compressed, plan, cut, factors, analysis.trial, options, progress)


def _improved(
    dense: ir.Model,
    compressed: ir.Model,
    plan: Plan,
    cut: Sequence[Target],
    factors: dict[str, Factors],
    trial: Trial | None,
    options: Options,
    progress: Progress,
) -> tuple[ir.Model, Plan]:
    """The same ranks, refitted factors if they gain, and balanced ones if they are trained."""
    if trial is not None:
        with progress.stage("refit", len(cut)) as advance:
            fitted, gain = _refit(dense, compressed, cut, factors, trial, advance)
        if gain is not None:
            factors = fitted
            plan = dataclasses.replace(plan, refit=gain, trial=gain * (plan.trial or 0.0))
    if options.finetune:
        factors = balanced(factors, cut)
    elif plan.refit is None:
        return compressed, plan
    compressed = dense.clone()
    RewriteTargets(factors)(compressed)
    sign(compressed, options.provenance())
    return compressed, plan


def _refit(
    dense: ir.Model,
    compressed: ir.Model,
    cut: Sequence[Target],
    factors: dict[str, Factors],
    trial: Trial,
    advance: Callable[[int], None],
) -> tuple[dict[str, Factors], float | None]:
    """Refitted factors, and what they multiply the divergence by; None if they gain nothing.

    One fold is left out of the fit and measured on. The plain factors have seen it, the fit has
    not: where the fit wins, it does so on unseen data.
    """
    unseen = 0
    only = trial.folds != unseen
    fitted = refit(trial.normal, cut, factors, trial.data, only, trial.runtime, advance)
    model = dense.clone()
    RewriteTargets(fitted)(model)
    before, after = trial.divergence(compressed, unseen), trial.divergence(model, unseen)
    return fitted, after / before if after < _REFIT_GAIN * before else None


def _loss(choices: Choices, ranks: Mapping[str, int]) -> float:
    return float(choices.losses[choices.index(ranks)])


def _choices(
    targets: Sequence[Target],
    losses: Mapping[str, Array],
    costs: Costs,
    options: Options,
) -> list[Choices]:
    all_params = sum(target.params for target in targets)
    kind = options.budget.kind

    def multiple(view: Target) -> int:
        return options.rank_multiple or automatic_multiple(view, all_params)

    choices = []
    for target in targets:
        macs = sum(costs.arithmetic.nodes.get(use.operator, 0) for use in target.uses)
        choices.append(
            operator_choices(target, losses, kind, macs, multiple, options.form, costs.curves)
        )
    return choices


def _cost(
    kind: str,
    model: ir.Model,
    choices: Sequence[Choices],
    ranks: Mapping[str, int],
    fixed: float,
) -> float:
    """What a rewritten model costs, in the budget's unit."""
    if kind == "params":
        return model_io.parameters(model)
    if kind == "bytes":
        return model_io.serialized_size(model)
    return fixed + sum(_cost_of(choice, ranks) for choice in choices)


def _cost_of(choices: Choices, ranks: Mapping[str, int]) -> float:
    return float(choices.costs[choices.index(ranks)])


def _unreachable(options: Options, dense: float, least: float, targets: list[Target]) -> str:
    kind, value = options.budget.kind, options.budget.value
    reach = f"{kind}={least / dense:.3f}" if value <= 1 else f"{least:.6g} {kind}"
    return (
        f"The budget {options.budget} cannot be met: {reach} is the least that factorizing the "
        f"{len(targets)} targets can reach; raise the budget, or add --best-effort to come as "
        "close as possible."
    )
