"""The work that goes into the choice of ranks, beside what it takes to calibrate."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ..errors import InputError

__all__ = ["EFFORTS", "FOLDS", "HIGH", "LOW", "NORMAL", "Effort", "effort_named"]

# Gradients of fewer samples say too little.
_ENOUGH = 64

# With four folds, directions are made of three quarters of the data, close to what all data give.
FOLDS = 4

# With so many samples, an eighth is enough to judge by.
_MANY = 192


# What a model that is cheap is worth more than another.
_CHEAP = 2.0

# Labels that are drawn for each sample, at most, and the multiply-adds that they are worth: a label
# says little of a model that is nearly certain of another.
_DRAWS = 4
_DRAWN = 6e10
_WITH_GRADIENTS = 3.0


@dataclasses.dataclass(frozen=True)
class Effort:
    """The work that may go into the choice of ranks.

    Everything is counted in what the calibration takes, so that a run costs a known multiple of
    that, whatever the model.

    Attributes:
        name: As `--effort` calls it.
        work: What may be computed after the calibration, in what that took; what is left of it
            after the losses goes into plans that are measured.
        least: Multiply-adds that are worth it where a calibration takes less than a second or two:
            so many may be computed, but twice as much as otherwise at most.
        metrics: Shrunk moments that are cross-validated for each target: at most, or where the work
            is bounded at least, and more if that pays for them. With none, losses are those of the
            closed form.
        folds: Folds of the data that losses are cross-validated on, likewise.
        compared: Folds on which plans are compared, at most.
        refits: Plans whose factors are refitted, at most.
        predicted: Folds besides on which the plan that is taken is measured in the end, at most.
        channels: The share of the work that may go into the choice of channels; with none, all stay
            unless nothing else may go.
        gradients: The share of the samples of which gradients are taken, if those are enough.
        measured: Samples of a fold on which plans are compared, at most.
        fitted: Samples on which factors are refitted, at most.
        thorough: Whether a plan is measured in the end on twice as many samples, and whether
            factors are refitted on as many as the model is cheap for.
    """

    name: str
    work: float
    least: float
    metrics: int
    folds: int
    compared: int
    refits: int
    predicted: int
    channels: float = 0.6
    gradients: float = 1.0
    measured: int = 256
    fitted: int = 256
    thorough: bool = False

    def allowed(self, calibration: float) -> float:
        """The multiply-adds that may be computed beside a calibration that takes so many."""
        usual = self.work * calibration
        return max(usual, min(self.least, _CHEAP * usual))

    def is_cheap(self, calibration: float) -> bool:
        """Tells whether a calibration of so many multiply-adds is one of a model that is cheap."""
        return self.bounded and self.work * calibration < self.least

    @property
    def bounded(self) -> bool:
        """Tells whether the work is bounded by that of the calibration, and not by counts alone."""
        return math.isfinite(self.work)

    @property
    def for_channels(self) -> Effort:
        """The same where nothing but channels may go: then those are worth what they take."""
        if self.channels:
            return self
        return dataclasses.replace(
            self,
            channels=NORMAL.channels,
            work=NORMAL.work,
            least=NORMAL.least,
            predicted=NORMAL.predicted,
        )

    @property
    def judging(self) -> int:
        """The folds of the data that judge what the others gave."""
        return max(self.folds, self.compared + self.predicted)

    def apart(self, folds: npt.NDArray[np.int64] | None) -> int:
        """The first fold that does more than judge, of those that samples were dealt to."""
        return int(folds is not None and folds.any() and self.judging == 1)

    def dealt(self, samples: int) -> int:
        """The folds to which so many samples are dealt; one that is only to judge may be small."""
        return 2 * FOLDS if self.judging == 1 and samples >= _MANY else FOLDS

    def draws(self, samples: int, macs: float) -> int:
        """Labels to draw for each of so many samples: more where the model is cheap.

        Args:
            samples: The samples that are calibrated on.
            macs: Multiplications of the model for one of them.
        """
        if self.gradients < 1 or not math.isfinite(macs) or macs <= 0:
            return 1
        worth = _DRAWN / (_WITH_GRADIENTS * macs * samples)
        return max(1, min(_DRAWS, math.floor(worth)))

    def differentiated(self, samples: int) -> int:
        """Of so many samples, the number of those of which gradients are taken."""
        return min(samples, max(_ENOUGH, math.ceil(self.gradients * samples)))


LOW = Effort(
    "low",
    0.8,
    2e9,
    metrics=0,
    folds=0,
    compared=1,
    refits=1,
    predicted=0,
    channels=0.0,
    gradients=0.25,
    measured=32,
    fitted=64,
)
NORMAL = Effort("normal", 2.0, 1e10, metrics=3, folds=2, compared=2, refits=1, predicted=0)
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
