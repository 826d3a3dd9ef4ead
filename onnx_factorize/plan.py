"""Choose a rank for every target within the budget, and rewrite the graph by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from . import model_io
from .analysis import Analysis
from .balance import balanced
from .costs import Costs
from .errors import BudgetError
from .forms import FIXED_FORMS, restricted
from .options import Options
from .paging import LARGE
from .passes import Factors, RewriteTargets, Target, sign
from .progress import Progress
from .purchase import Bought, Purchase
from .refit import refit
from .search import Candidate, most_measurements, search
from .trial import Trial

__all__ = ["Plan", "compress"]

# Factors are left as they are unless refitting them gains more than chance; so is the choice of
# forms unless one form for all does.
_REFIT_GAIN = 0.97

# Plans of one form that are refitted beside the one of several: those that come near it.
_OTHERS = 2
_NEAR = 2.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """One candidate for each target.

    Attributes:
        ranks: View name to rank, or `DENSE`.
        losses: Operator to the loss predicted for what was bought of it.
        origin: The way in which it was chosen.
        tried: Way to measured divergence, where several were measured.
        trial: The divergence that was measured for this plan on unseen calibration samples.
        refit: What refitting the factors multiplied it by; None if that was not tried, or gained
            nothing.
        squares: View name to σ² of its directions, for what is cut.
    """

    ranks: dict[str, int]
    losses: dict[str, float]
    origin: str
    tried: dict[str, float]
    trial: float | None
    refit: float | None = None
    squares: Mapping[str, npt.NDArray[np.float64]] = dataclasses.field(default_factory=dict)

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
    purchase = Purchase(targets, analysis, costs, options)
    candidate, trial = analysis.candidates[0], analysis.trial
    tried: dict[str, float] = {}
    measured: float | None = None
    if trial is not None:
        most = most_measurements(analysis.candidates)
        with progress.stage("try plans", most) as advance:
            found = search(analysis.candidates, purchase.allocate, trial, advance)
        candidate, tried, measured = found.candidate, found.tried, found.divergence

    with progress.stage("rewrite"):
        bought = purchase.buy(dense, candidate)
    plan = Plan(
        bought.ranks, bought.losses, candidate.name, tried, measured, squares=bought.squares
    )
    if not bought.cut or model_io.weight_bytes(dense) > LARGE:
        return bought.model, plan
    gain: float | None = None
    if trial is not None and measured is not None:
        with progress.stage("try forms"):
            others = _of_one_form(
                dense, targets, bought, candidate, measured, analysis, costs, options, tried
            )
        ways = [(bought, measured), *others]
        with progress.stage("refit", sum(len(way.cut) for way, _ in ways)) as advance:
            results = [_refitted(dense, way, trial, advance) for way, _ in ways]
        best = 0
        for index, result in enumerate(results):
            if result.divergence < _REFIT_GAIN * results[best].divergence:
                best = index
        (bought, measured), gain = ways[best], results[best].gain
        plan = dataclasses.replace(
            plan,
            ranks=bought.ranks,
            losses=bought.losses,
            squares=bought.squares,
            trial=(gain or 1.0) * measured,
            refit=gain,
        )
    if gain is None and not options.finetune:
        return bought.model, plan
    factors = bought.factors if gain is None else results[best].factors
    if options.finetune:
        factors = balanced(factors, bought.cut)
    model = dense.clone()
    RewriteTargets(factors)(model)
    sign(model, options.provenance())
    return model, plan


def _of_one_form(
    dense: ir.Model,
    targets: Sequence[Target],
    bought: Bought,
    candidate: Candidate,
    measured: float,
    analysis: Analysis,
    costs: Costs,
    options: Options,
    tried: dict[str, float],
) -> list[tuple[Bought, float]]:
    """Plans of one form for all, where the plan has several to choose from, and their divergence.

    What refitting gains differs from form to form, and is not known before it is done.
    """
    if options.form != "auto" or options.budget.kind == "latency":  # measured in one form only
        return []
    if not any(view.views or view.view for view in bought.cut):
        return []
    assert analysis.trial is not None
    found: list[tuple[float, Purchase]] = []
    for form in FIXED_FORMS:
        asked = dataclasses.replace(options, form=form)
        try:
            one = [restricted(target, form) for target in targets]
            purchase = Purchase(one, analysis, costs, asked)
        except BudgetError:
            continue
        ranks = purchase.allocate(candidate.losses, candidate.uniform)
        divergence = analysis.trial.measure(ranks, candidate.weighting, candidate.metrics)
        tried[f"{form} form"] = divergence
        found.append((divergence, purchase))
    found.sort(key=lambda pair: pair[0])
    return [
        (purchase.buy(dense, candidate), divergence)
        for divergence, purchase in found[:_OTHERS]
        if divergence < _NEAR * measured
    ]


@dataclasses.dataclass(frozen=True)
class _Refitted:
    """Factors after the refit, or before it if that gains nothing.

    Attributes:
        factors: The factors.
        gain: What refitting multiplied the divergence of unseen samples by; None for nothing.
        divergence: Of unseen samples, in the end.
    """

    factors: dict[str, Factors]
    gain: float | None
    divergence: float


def _refitted(
    dense: ir.Model, bought: Bought, trial: Trial, advance: Callable[[int], None]
) -> _Refitted:
    """Refits the factors of a model.

    One fold is left out of the fit and measured on. The plain factors have seen it, the fit has
    not: where the fit wins, it does so on unseen data.
    """
    unseen = 0
    only = trial.folds != unseen
    fitted = refit(
        trial.normal, bought.cut, bought.factors, trial.data, only, trial.runtime, advance
    )
    model = dense.clone()
    RewriteTargets(fitted)(model)
    before, after = trial.divergence(bought.model, unseen), trial.divergence(model, unseen)
    if after < _REFIT_GAIN * before:
        return _Refitted(fitted, after / before, after)
    return _Refitted(bought.factors, None, before)
