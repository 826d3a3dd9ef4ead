"""Choose a rank for every target within the budget, and rewrite the graph by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..factorization.balance import balanced
from ..factorization.forms import forms_of
from ..factorization.rewriting import rewritten
from ..files import model_io
from ..options import Options
from ..passes import RewriteTargets, Target, sign
from ..progress import Progress
from ..runtime.paging import LARGE
from .allocate import Bought, Purchase
from .analysis import Analysis
from .candidate import Candidate
from .forms import AUTO
from .plan_evaluator import PlanEvaluator
from .price import Price
from .refitted import Refitted, best_refitted, most_cuts
from .search import Found, most_measurements, search

__all__ = ["Plan", "compress"]

# Plans in other forms are refitted beside the best if they come near it: what refitting gains
# differs from form to form, and is not known before it is done. From origin to origin it differs
# more; where the model is cheap, those are refitted that are not hopelessly worse.
_NEAR = 1.5
_HOPELESS = 4.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """One candidate for each target.

    Attributes:
        ranks: View name to rank, or `DENSE`.
        losses: Operator to the loss predicted for what was bought of it.
        origin: The way in which it was chosen.
        tried: Way to measured divergence, where several were measured.
        trial: The divergence to expect of new data, measured on unseen calibration samples.
        refit: What refitting the factors multiplied it by; None if that was not tried, or gained
            nothing.
        squares: View name to σ² of its directions, for what is cut.
        candidate: What it was chosen by: its weighting and shrinkages.
    """

    ranks: dict[str, int]
    losses: dict[str, float]
    origin: str
    tried: dict[str, float]
    trial: float | None
    refit: float | None = None
    squares: Mapping[str, npt.NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    candidate: Candidate | None = None

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
    price: Price,
    options: Options,
    progress: Progress,
) -> tuple[ir.Model, Plan]:
    """Buys ranks within the budget and rewrites the model by them.

    Operators that break the model when they are cut are found by running it, and stay dense.

    Args:
        dense: The dense model; it is not changed.
        targets: Its targets.
        analysis: What every cut of every target costs.
        price: The unit of the budget, with what the dense model costs.
        options: The budget, the allocation, and how ranks are rounded.
        progress: What is told how far the run is.

    Returns:
        The compressed model, and the plan by which it was made.

    Raises:
        BudgetError: The budget cannot be met, and the best effort was not asked for.
    """
    if analysis.evaluator is not None:
        # Before many plans are tried of which none could work.
        _leave_broken(dense, targets, analysis, price, options)
    model, plan, bought = _compress(dense, targets, analysis.sound, price, options, progress)
    if not _breaks(dense, model, bought, analysis):
        return model, plan
    return compress(dense, targets, analysis, price, options, progress)


def _leave_broken(
    dense: ir.Model, targets: list[Target], analysis: Analysis, price: Price, options: Options
) -> None:
    """Notes what breaks the plan that is predicted to be the best, until nothing does."""
    while True:
        sound = analysis.sound
        purchase = Purchase(targets, sound, price, options)
        bought = purchase.buy(dense, sound.candidates[0])
        if not _breaks(dense, bought.model, bought, analysis):
            return


def _breaks(dense: ir.Model, model: ir.Model, bought: Bought, analysis: Analysis) -> bool:
    """Whether some cut makes outputs not finite; the operator to blame is noted.

    Args:
        dense: The dense model.
        model: What was made of it in the end.
        bought: The cuts, before their factors were refitted.
        analysis: Takes the note.
    """
    guard = analysis.guard
    if guard is None or not bought.cut or guard.complaint(model) is None:
        return False
    cut = list(dict.fromkeys(view.operator for view in bought.cut))

    def made(operators: Sequence[str]) -> ir.Model:
        views = [view for view in bought.cut if view.operator in operators]
        return rewritten(dense, views, bought.ranks, bought.spectra, bought.statistics)

    found = guard.culprit(cut, made) or (cut[-1], "outputs not finite once factors are refitted")
    analysis.broken[found[0]] = found[1]
    return True


def _compress(
    dense: ir.Model,
    targets: list[Target],
    analysis: Analysis,
    price: Price,
    options: Options,
    progress: Progress,
) -> tuple[ir.Model, Plan, Bought]:
    """The same as `compress`, with what was bought, before it is run."""
    purchase = Purchase(targets, analysis, price, options)
    evaluator, candidate = analysis.evaluator, analysis.candidates[0]
    found: Found | None = None
    if evaluator is not None:
        # Measured in one form only.
        forms = {} if price.timed else _forms(targets, options)
        most = most_measurements(analysis.candidates, forms)
        with progress.stage("try plans", most) as advance:
            found = search(analysis.candidates, purchase.allocate, evaluator, advance, forms)
        candidate = found.best.candidate
    with progress.stage("rewrite"):
        bought = purchase.buy(dense, candidate)
    large = model_io.weight_bytes(dense) > LARGE
    refitted: Refitted | None = None
    expected = None if found is None else found.best.divergence
    if evaluator is not None and found is not None and bought.cut:
        if not large:
            refitted = _refitted(dense, bought, found, purchase, evaluator, progress)
            bought = refitted.bought
        with progress.stage("predict", evaluator.parts) as advance:
            chosen = bought.candidate
            expected = evaluator.expect(bought.ranks, chosen.weighting, chosen.shrinkages, advance)
    gain = None if refitted is None else refitted.gain
    plan = Plan(
        bought.ranks,
        bought.losses,
        bought.candidate.name,
        {} if found is None else found.tried,
        expected if expected is None or gain is None else gain * expected,
        gain,
        bought.squares,
        bought.candidate,
    )
    if large or not bought.cut or (gain is None and not options.finetune):
        return bought.model, plan, bought
    factors = bought.factors if refitted is None else refitted.factors
    if options.finetune:
        factors = balanced(factors, bought.cut)
    model = dense.clone()
    RewriteTargets(factors)(model)
    sign(model, options.provenance())
    return model, plan, bought


def _refitted(
    dense: ir.Model,
    best: Bought,
    found: Found,
    purchase: Purchase,
    evaluator: PlanEvaluator,
    progress: Progress,
) -> Refitted:
    """The best of what was bought and of other plans that come near it, once refitted."""
    measured = found.best.divergence
    origins = [way for way in found.origins if way.divergence < _HOPELESS * measured]
    origins = origins if evaluator.ease > 1 else []
    near = [way for way in found.others if way.divergence < _NEAR * measured]
    others = [*origins, *(way for way in near if not any(way is each for each in origins))]
    with progress.stage("rewrite"):
        others = others[: 2 * evaluator.ease - 1]
        ways = [(best, measured)]
        ways += [(purchase.buy(dense, way.candidate), way.divergence) for way in others]
    with progress.stage("refit", most_cuts(ways)) as advance:
        return best_refitted(dense, ways, evaluator, advance)


def _forms(targets: Sequence[Target], options: Options) -> dict[str, dict[str, frozenset[str]]]:
    """The operators whose form is the budget's to choose."""
    if options.form != AUTO:
        return {}
    return {
        target.operator: {
            form: frozenset(view.name for view in cut) for form, cut in forms_of(target).items()
        }
        for target in targets
        if target.views
    }
