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
from .candidates import automatic_multiple, candidates, only_dense
from .costs import Costs
from .errors import BudgetError
from .options import Options
from .paging import LARGE
from .passes import Factors, RewriteTargets, Target, sign
from .progress import Progress
from .refit import refit
from .rewriting import rewritten
from .search import most_measurements, search
from .trial import Trial
from .weighting import factors_of

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
    """

    ranks: dict[str, int]
    losses: dict[str, float]
    origin: str
    tried: dict[str, float]
    trial: float | None
    refit: float | None = None

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
            cut = [target for target in targets if ranks[target.name]]
            spectra = {target.name: analysis.spectrum(target, candidate) for target in cut}
            compressed = rewritten(dense, targets, ranks, spectra, analysis.statistics)
            sign(compressed, options.provenance())
            over = _cost(kind, compressed, choices, ranks, fixed) - wanted
            if over <= 0 or room <= least:
                break
            # What was not spent must not be given again.
            room = min(room, sum(_cost_of(c, ranks[c.name]) for c in choices)) - over
    if over > 0 and not options.best_effort:
        raise BudgetError(_unreachable(options, cost, wanted + over, targets))
    # What was predicted, in nats where there are gradients, whatever plan was chosen.
    losses = {choice.name: _loss(choice, ranks[choice.name]) for choice in choices}
    plan = Plan(ranks, losses, candidate.name, tried, trial)
    if analysis.trial is None or not cut or model_io.weight_bytes(dense) > LARGE:
        return compressed, plan
    with progress.stage("refit", len(cut)) as advance:
        statistics = analysis.statistics
        factors = {
            t.name: factors_of(t, spectra[t.name], statistics.get(t.name), ranks[t.name])
            for t in cut
        }
        refitted, gain = _refitted(dense, compressed, targets, factors, analysis.trial, advance)
    if gain is None:
        return compressed, plan
    sign(refitted, options.provenance())
    return refitted, dataclasses.replace(
        plan, refit=gain, trial=None if trial is None else gain * trial
    )


def _refitted(
    dense: ir.Model,
    compressed: ir.Model,
    targets: Sequence[Target],
    factors: Mapping[str, Factors],
    trial: Trial,
    advance: Callable[[int], None],
) -> tuple[ir.Model, float | None]:
    """The model with refitted factors, and by what that multiplied the divergence.

    One fold is left out of the fit and measured on. The plain factors have seen it, the fit has
    not: where the fit wins, it does so on unseen data.
    """
    unseen = 0
    only = trial.folds != unseen
    fitted = refit(trial.normal, targets, factors, trial.data, only, trial.runtime, advance)
    model = dense.clone()
    RewriteTargets(fitted)(model)
    before, after = trial.divergence(compressed, unseen), trial.divergence(model, unseen)
    return model, after / before if after < _REFIT_GAIN * before else None


def _loss(choices: Choices, rank: int) -> float:
    return float(choices.losses[choices.index(rank)])


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
        time = costs.curves.get(target.name)
        if curve is None or (kind == "latency" and time is None):
            choices.append(only_dense(target, kind, macs))
            continue
        multiple = options.rank_multiple or automatic_multiple(target, all_params)
        choices.append(candidates(target, curve, kind, macs, multiple, time))
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
    return fixed + sum(_cost_of(choice, ranks[choice.name]) for choice in choices)


def _cost_of(choices: Choices, rank: int) -> float:
    return float(choices.costs[choices.index(rank)])


def _unreachable(options: Options, dense: float, least: float, targets: list[Target]) -> str:
    kind, value = options.budget.kind, options.budget.value
    reach = f"{kind}={least / dense:.3f}" if value <= 1 else f"{least:.6g} {kind}"
    return (
        f"The budget {options.budget} cannot be met: {reach} is the least that factorizing the "
        f"{len(targets)} targets can reach; raise the budget, or add --best-effort to come as "
        "close as possible."
    )
