"""The work that goes into the choice of ranks, beside what it takes to calibrate."""

from __future__ import annotations

import dataclasses
import math

from ..errors import InputError

__all__ = ["EFFORTS", "HIGH", "LOW", "NORMAL", "Effort", "effort_named"]


@dataclasses.dataclass(frozen=True)
class Effort:
    """The work that may go into the choice of ranks.

    Everything is counted in what the calibration takes, so that a run costs a known multiple of
    that, whatever the model.

    Attributes:
        name: As `--effort` calls it.
        work: What may be computed after the calibration, in what that took; what is left of it
            after the losses goes into plans that are measured.
        least: Multiply-adds that may be computed in any case: a second or two, which is worth it
            where a calibration takes less.
        metrics: Shrunk moments that are cross-validated for each target: at most, or where the work
            is bounded at least, and more if that pays for them. With none, losses are those of the
            closed form.
        folds: Folds of the data that losses are cross-validated on, likewise.
        compared: Folds on which plans are compared, at most.
        refits: Plans whose factors are refitted, at most.
        predicted: Folds besides on which the plan that is taken is measured in the end, at most.
        thorough: Whether that is done on twice as many samples, and whether factors are refitted
            on as many as the model is cheap for.
    """

    name: str
    work: float
    least: float
    metrics: int
    folds: int
    compared: int
    refits: int
    predicted: int
    thorough: bool = False

    def allowed(self, calibration: float) -> float:
        """The multiply-adds that may be computed beside a calibration that takes so many."""
        return max(self.work * calibration, self.least)

    def is_cheap(self, calibration: float) -> bool:
        """Tells whether a calibration of so many multiply-adds is one of a model that is cheap."""
        return self.bounded and self.work * calibration < self.least

    @property
    def bounded(self) -> bool:
        """Tells whether the work is bounded by that of the calibration, and not by counts alone."""
        return math.isfinite(self.work)


LOW = Effort("low", 0.8, 2e9, metrics=0, folds=0, compared=1, refits=1, predicted=0)
NORMAL = Effort("normal", 2.0, 1e10, metrics=3, folds=2, compared=2, refits=1, predicted=1)
HIGH = Effort(
    "high",
    math.inf,
    math.inf,
    metrics=14,
    folds=4,
    compared=2,
    refits=64,
    predicted=4,
    thorough=True,
)

EFFORTS = {each.name: each for each in (LOW, NORMAL, HIGH)}


def effort_named(name: str) -> Effort:
    """The effort of a name.

    Raises:
        InputError: There is none.
    """
    if name not in EFFORTS:
        raise InputError(f"--effort is {', '.join(EFFORTS)}, not '{name}'.")
    return EFFORTS[name]
