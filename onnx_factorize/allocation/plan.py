"""Choose a rank for every target within the budget, and rewrite the graph by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..factorization.balance import balanced
from ..factorization.forms import forms_of
from ..factorization.rewriting import rewritten, with_factors
from ..files import model_io
from ..options import Options
from ..passes import Target, sign
from ..progress import Progress
from ..runtime.paging import LARGE
from .allocator import Allocation, Allocator
from .analysis import Analysis
from .calibrated import Calibrated
from .candidate import Candidate
from .forms import AUTO
from .identity_blocks import as_pairs, not_written
from .plan_evaluator import PlanEvaluator
from .price import Price
from .refitted import Refitted, best_refitted, most_cuts
from .search import Forms, Found, Search, most_measurements

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
        ranks: Unfolding name to rank, or `DENSE`.
        losses: Operator to the loss predicted for its cuts.
        origin: How it was chosen.
        tried: Origin to measured divergence, where several were measured.
        expected: The divergence to expect of new data, measured on unseen calibration samples.
        refit: What refitting the factors multiplied it by; None if that was not tried, or gained
            nothing.
        squares: Unfolding name to σ² of its directions, for what is cut.
        candidate: What it was chosen by: its weighting and shrinkages.
        ended: By what the search was ended early: `time` or `interrupt`; None if it was not.
    """

    ranks: dict[str, int]
    losses: dict[str, float]
    origin: str
    tried: dict[str, float]
    expected: float | None
    refit: float | None = None
    squares: Mapping[str, npt.NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    candidate: Candidate | None = None
    ended: str | None = None

    @property
    def second_order(self) -> float:
        """The loss of the whole model, to second order."""
        return sum(self.losses.values())

    @property
    def predicted(self) -> float:
        """The loss to expect of new data: as measured on unseen samples, else to second order."""
        return self.second_order if self.expected is None else self.expected


def compress(
    known: Calibrated, price: Price, options: Options, progress: Progress
) -> tuple[ir.Model, Plan]:
    """Allocates ranks within the budget and rewrites the model by them.

    Operators that break the model when they are cut are found by running it, and stay dense.

    Args:
        known: The calibrated model; that an operator breaks it is noted in its analysis, and that
            one is no identity block in its targets.
        price: The unit of the budget, with what the dense model costs.
        options: The budget, the allocation, and how ranks are rounded.
        progress: What is told how far the run is.

    Returns:
        The compressed model, and the plan by which it was made.

    Raises:
        BudgetError: The budget cannot be met, and the best effort was not asked for.
    """
    model, plan, allocation = _compress(known, price, options, progress)
    written = allocation.model if options.finetune else model
    pairs = not_written(written, [cut for cut in allocation.cut if cut.identity])
    if not pairs and not _breaks(known, model, allocation):
        return model, plan
    # What would not be exact as an identity block costs more than it was allocated.
    known.targets[:] = as_pairs(known.targets, pairs)
    return compress(known, price, options, progress)


def _leave_broken(known: Calibrated, price: Price, options: Options) -> None:
    """Notes what breaks the plan that is predicted to be the best, until nothing does."""
    while True:
        sound = known.analysis.sound
        allocator = Allocator(known.targets, sound, price, options)
        allocation = allocator.allocate(known.start, sound.candidates[0])
        if not _breaks(known, allocation.model, allocation):
            return


def _breaks(known: Calibrated, model: ir.Model, allocation: Allocation) -> bool:
    """Tells whether some cut makes outputs not finite; the operator to blame is noted.

    Args:
        known: The calibrated model; its analysis takes the note.
        model: What was made of it in the end.
        allocation: The cuts, before their factors were refitted.
    """
    dense, guard = known.start, known.analysis.guard
    if guard is None or not allocation.fitted or guard.complaint(model) is None:
        return False
    channels, ranks = known.analysis.channels, allocation.ranks
    cut = list(dict.fromkeys(unfolding.operator for unfolding in allocation.cut))
    cut += [narrowing.name for narrowing in channels.chosen(ranks)]

    def made(operators: Sequence[str]) -> ir.Model:
        unfoldings = [unfolding for unfolding in allocation.cut if unfolding.operator in operators]
        return rewritten(
            dense,
            unfoldings,
            allocation.ranks,
            allocation.spectra,
            allocation.statistics,
            channels.taken({name: ranks[name] for name in operators if name in ranks}),
        )

    found = guard.culprit(cut, made) or (cut[-1], "outputs not finite once factors are refitted")
    known.analysis.broken[found[0]] = found[1]
    return True


def _compress(
    known: Calibrated, price: Price, options: Options, progress: Progress
) -> tuple[ir.Model, Plan, Allocation]:
    """The same as `compress`, with the allocation, before it is run."""
    dense, targets, analysis = known.start, known.targets, known.analysis.sound
    allocator = Allocator(targets, analysis, price, options)
    evaluator, candidate = analysis.evaluator, analysis.candidates[0]
    found: Found | None = None
    ended: str | None = None
    if evaluator is not None:
        # Measured in one form only.
        forms = {} if price.timed else _forms(targets, options)
        searching = _searched(allocator, analysis, evaluator, forms, progress)
        if searching.broken:
            # Before many plans are evaluated of which none could work.
            _leave_broken(known, price, options)
            analysis = known.analysis.sound
            allocator = Allocator(targets, analysis, price, options)
            searching = _searched(allocator, analysis, evaluator, forms, progress, anyway=True)
        found, ended = searching.found, searching.ended
        candidate = found.best.candidate
    with progress.stage("rewrite"):
        allocation = allocator.allocate(dense, candidate)
    large = model_io.weight_bytes(dense) > LARGE
    refitted: Refitted | None = None
    expected = None if found is None else found.best.divergence
    if evaluator is not None and found is not None and allocation.fitted and ended is None:
        if not large:
            refitted = _refitted(dense, allocation, found, allocator, analysis, progress)
            allocation = refitted.allocation
        # Where no further samples are to be measured, that is known.
        if evaluator.effort.predicted or allocation.ranks != found.best.ranks:
            with progress.stage("predict", evaluator.predicted_folds) as advance:
                chosen = allocation.candidate
                expected = evaluator.expect(
                    allocation.ranks, chosen.weighting, chosen.shrinkages, advance
                )
    if evaluator is not None:
        evaluator.release()
    gain = None if refitted is None else refitted.gain
    plan = Plan(
        allocation.ranks,
        allocation.losses,
        allocation.candidate.name,
        {} if found is None else found.tried,
        expected if expected is None or gain is None else gain * expected,
        gain,
        allocation.squares,
        allocation.candidate,
        ended,
    )
    if large or not allocation.fitted or (gain is None and not options.finetune):
        return allocation.model, plan, allocation
    factors = allocation.factors if refitted is None else refitted.factors
    if options.finetune:
        read = allocation.channels.factors.keys()
        cut = {name: each for name, each in factors.items() if name not in read}
        factors = {**factors, **balanced(cut, allocation.cut)}
    model = with_factors(dense, factors, allocation.channels, identity=not options.finetune)
    sign(model, options.provenance())
    return model, plan, allocation


def _searched(
    allocator: Allocator,
    analysis: Analysis,
    evaluator: PlanEvaluator,
    forms: Forms,
    progress: Progress,
    *,
    anyway: bool = False,
) -> Search:
    """A search, ended where its time was over or its user wanted.

    Unless it is to go on `anyway`, it ends at once where the predicted plan gives no numbers.
    """
    candidates, work = analysis.candidates, analysis.work
    most = None if work is None else work.evaluations(evaluator.effort, len(candidates))
    searching = Search(candidates, allocator.ranks_of, evaluator, forms, most, anyway=anyway)
    total = most_measurements(candidates, forms, most)
    if work is not None:
        took = sum(progress.seconds.get(stage, 0.0) for stage in ("survey", "calibrate"))
        progress.foresee(work.foreseen(total, took))
    try:
        with progress.stage("evaluate plans", total) as advance:
            searching.run(advance, lambda: progress.late)
    except KeyboardInterrupt as interrupt:
        if not searching.begun or not progress.goes_on(interrupt):
            raise
        progress.end_search()  # and those that would follow
        searching.ended = progress.ended_by
    else:
        searching.ended = searching.ended and progress.ended_by
    return searching


def _refitted(
    dense: ir.Model,
    best: Allocation,
    found: Found,
    allocator: Allocator,
    analysis: Analysis,
    progress: Progress,
) -> Refitted:
    """The best of an allocation and of other plans that come near it, once refitted."""
    evaluator, measured = analysis.evaluator, found.best.divergence
    assert evaluator is not None
    origins = [plan for plan in found.origins if plan.divergence < _HOPELESS * measured]
    origins = origins if evaluator.ease > 1 else []
    near = [plan for plan in found.others if plan.divergence < _NEAR * measured]
    others = [*origins, *(plan for plan in near if not any(plan is each for each in origins))]
    with progress.stage("rewrite"):
        others = others[: min(2 * evaluator.ease, evaluator.effort.refits) - 1]
        allocations = [(best, measured)]
        allocations += [
            (allocator.allocate(dense, plan.candidate), plan.divergence) for plan in others
        ]
    with progress.stage("refit", most_cuts(allocations)) as advance:
        return best_refitted(allocations, evaluator, advance)


def _forms(targets: Sequence[Target], options: Options) -> dict[str, dict[str, frozenset[str]]]:
    """The operators whose form is the budget's to choose."""
    if options.form != AUTO:
        return {}
    return {
        target.operator: {
            form: frozenset(unfolding.name for unfolding in cut)
            for form, cut in forms_of(target).items()
        }
        for target in targets
        if target.unfoldings
    }
