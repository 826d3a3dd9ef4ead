"""Looking for the smallest model that keeps a guarantee."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ..allocation.plan import Plan
from ..arrays import NamedArrays
from ..calibration import Batch, CalibrationData
from ..errors import BudgetError, InputError
from ..evaluation import evaluate
from ..options import Budget, Prefer
from ..outputs import OutputDistribution
from ..progress import Progress
from ..runtime.session import Runtime, Session
from .bounded_search import smallest
from .guarantee import MeasuredGuarantee
from .quantities.confidence import CONFIDENCE, Estimate
from .quantities.quantity import Quantity

__all__ = ["GuaranteeOutcome", "HeldOut", "check", "confirmed", "measure", "smallest_model"]

# The budget that is searched for each preference.
_AXES: dict[Prefer, str] = {"size": "targets", "latency": "latency"}


@dataclasses.dataclass(frozen=True)
class GuaranteeOutcome:
    """The outcome of a guarantee.

    Attributes:
        guarantee: What was guaranteed.
        prefer: What was to be small.
        budget: The budget that the search chose; with it alone, a run makes the same model.
        measured: The figure on the held-out samples.
        bound: Its confidence bound, which is what keeps the guarantee.
        samples: Held-out samples.
        tried: Budget, figure and bound of every measurement.
    """

    guarantee: MeasuredGuarantee
    prefer: Prefer
    budget: Budget
    measured: float
    bound: float
    samples: int
    tried: list[tuple[float, float, float]]

    def as_dict(self) -> dict[str, Any]:
        """The section `promise` of the report."""
        return {
            "metric": self.guarantee.metric,
            "asked": self.guarantee.asked,
            "measured": self.measured,
            "bound": self.bound,
            "kept": self.guarantee.strain(self.bound) <= 1,
            "confidence": CONFIDENCE,
            "samples": self.samples,
            "prefer": self.prefer,
            "budget": str(self.budget),
            "measurements": len(self.tried),
            "tried": [
                {"budget": budget, "measured": measured, "bound": bound}
                for budget, measured, bound in self.tried
            ],
        }


@dataclasses.dataclass
class _Model:
    """A compressed model and how it does."""

    model: ir.Model
    plan: Plan
    budget: Budget
    estimate: Estimate
    bound: float

    def outcome(
        self,
        guarantee: MeasuredGuarantee,
        prefer: Prefer,
        samples: int,
        tried: list[tuple[float, float, float]],
    ) -> GuaranteeOutcome:
        """The outcome of a guarantee by this model."""
        value = self.estimate.value
        return GuaranteeOutcome(guarantee, prefer, self.budget, value, self.bound, samples, tried)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The models and data that a guarantee is measured on.

    Attributes:
        dense: The dense model.
        outputs: What each output stands for.
        data: The data; only the held-out samples are used.
        progress: What is told how far the run is.
    """

    dense: Session
    outputs: Mapping[str, OutputDistribution]
    data: CalibrationData
    progress: Progress


def check(guarantee: MeasuredGuarantee, held_out: HeldOut) -> None:
    """Finds out now, not after minutes of work, what no compressed model can keep.

    Raises:
        InputError: Nothing is held out, or labels or the metric cannot be used.
        BudgetError: The held-out samples are too few for so narrow a guarantee.
    """
    data = held_out.data
    if data.shares_holdout:
        raise InputError(
            f"{guarantee.option} needs held-out samples to be measured on; give at least two "
            "samples and a --holdout above 0."
        )
    estimate = measure(guarantee, None, held_out)
    if guarantee.strain(guarantee.bound(estimate)) > 1:
        raise BudgetError(
            f"{guarantee.option} cannot be guaranteed: of {data.holdout_samples} held-out samples "
            "not even the dense model could be shown to keep it; hold out about "
            f"{4 / guarantee.allowed:.0f} (more data, or a larger --holdout), or ask for less."
        )


def smallest_model(
    guarantee: MeasuredGuarantee,
    prefer: Prefer,
    compress: Callable[[Budget], tuple[ir.Model, Plan]],
    held_out: HeldOut,
    runtime: Runtime,
    *,
    finish: Callable[[ir.Model], ir.Model] = lambda model: model,
    best_effort: bool = False,
) -> tuple[ir.Model, Plan, GuaranteeOutcome]:
    """Looks for the smallest model that keeps a guarantee.

    Args:
        guarantee: What to keep.
        prefer: What is to be small: the model, or the time that it takes.
        compress: Makes a model within a budget.
        held_out: What it is measured on.
        runtime: How to run models.
        finish: What is done to a model before it is measured, such as quantization; the model that
            is returned is as it was before.
        best_effort: Take what comes closest if nothing keeps it.

    Returns:
        The model, the plan by which it was made, and what is guaranteed of it.

    Raises:
        BudgetError: No compressed model keeps it.
    """
    axis = _AXES[prefer]
    tried: list[tuple[float, float, float]] = []
    best: _Model | None = None

    def strain(fraction: float) -> float | None:
        nonlocal best
        budget = Budget(axis, _rounded(fraction))
        try:
            model, plan = compress(budget)
        except BudgetError:
            return None
        session = runtime.session(finish(model), list(held_out.outputs))
        estimate = measure(guarantee, session, held_out)
        found = _Model(model, plan, budget, estimate, guarantee.bound(estimate))
        tried.append((budget.value, estimate.value, found.bound))
        stretched = guarantee.strain(found.bound)
        # Of those that keep it, later ones are smaller: the search goes down from what keeps it.
        if best is None or stretched <= max(1.0, guarantee.strain(best.bound)):
            best = found
        return stretched

    points = smallest(strain)
    if best is None:
        raise BudgetError(f"{guarantee.option} cannot be kept: no budget can be met at all.")
    if not any(point.kept for point in points) and not best_effort:
        raise BudgetError(_how_close(guarantee, best, len(tried)))
    outcome = best.outcome(guarantee, prefer, held_out.data.holdout_samples, tried)
    return best.model, best.plan, outcome


def _how_close(guarantee: MeasuredGuarantee, best: _Model, tried: int) -> str:
    """The sentence of a guarantee that no model keeps."""
    return (
        f"{guarantee.option} cannot be kept: the best of {tried} compressed models, with "
        f"--budget {best.budget}, has {guarantee.described} {best.estimate.value:.4g} with a "
        f"bound of {best.bound:.4g} on new data; ask for less, or add --best-effort to take it."
    )


def confirmed(
    outcome: GuaranteeOutcome, compressed: Session, held_out: HeldOut, *, best_effort: bool = False
) -> GuaranteeOutcome:
    """Measures a guarantee again, on a model that was trained after the search.

    Args:
        outcome: What the search found.
        compressed: The trained model.
        held_out: What it is measured on.
        best_effort: Take it if the guarantee is broken.

    Raises:
        BudgetError: The guarantee is broken.
    """
    guarantee = outcome.guarantee
    estimate = measure(guarantee, compressed, held_out)
    bound = guarantee.bound(estimate)
    if guarantee.strain(bound) > 1 and not best_effort:
        raise BudgetError(
            f"{guarantee.option} is kept with --budget {outcome.budget}, but no more after "
            f"fine-tuning ({estimate.value:.4g} with a bound of {bound:.4g} on new data): leave "
            "--finetune out, train with a lower --lr, or add --best-effort to take it."
        )
    return dataclasses.replace(outcome, measured=estimate.value, bound=bound)


def _rounded(fraction: float) -> float:
    """A budget that can be typed, and is no larger."""
    return max(1e-4, math.floor(fraction * 1e4) / 1e4)


def measure(
    guarantee: MeasuredGuarantee, compressed: Session | None, held_out: HeldOut
) -> Estimate:
    """The guaranteed figure of a compressed model, or of the dense one beside itself."""
    data, dense, outputs = held_out.data, held_out.dense, held_out.outputs
    quantity = guarantee.quantity(outputs)
    watched = _Watched(quantity, outputs)
    with held_out.progress.stage("measure the guarantee", data.holdout_samples) as advance:
        evaluate(
            data.micro_batches("holdout"),
            lambda batch: dense.run(batch.feeds, batch.origin),
            None if compressed is None else lambda b: compressed.run(b.feeds, b.origin),
            watched,
            advance=advance,
        )
    if not watched.finite:
        # Overflow in the compressed model: no figure, and no guarantee.
        nothing = guarantee.kind.nothing
        return Estimate(nothing, np.array([nothing]))
    return quantity.estimate()


class _Watched:
    """Adds to a quantity for as long as the compressed model's outputs are finite."""

    def __init__(self, quantity: Quantity, outputs: Mapping[str, OutputDistribution]) -> None:
        self._quantity, self._outputs = quantity, outputs
        self.finite = True

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch."""
        for name in self._outputs:
            lost = ~np.isfinite(compressed[name])
            if lost.any() and (lost & np.isfinite(dense[name])).any():
                self.finite = False
        if self.finite:
            self._quantity.add(batch, dense, compressed)
