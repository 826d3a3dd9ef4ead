"""Counts the work of choosing ranks, in multiply-adds, so that an effort can bound it.

Nothing is timed: a run repeats exactly, and what it will compute is known once the statistics are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ..factorization.moment_shrinkage import shrinkages_for
from ..factorization.narrowing.narrowing import Narrowing
from ..factorization.shrinkage_choice import CROSS_VALIDATED
from ..options import HIGH, Effort
from ..outputs import SURVEYED
from ..statistics.calibration_run import CalibrationRun, Gathered
from ..statistics.channel_moments import ROWS_A_DIMENSION

__all__ = ["Work", "affordable", "as_far_as_it_goes", "rough_forecast", "work_of"]

# A decomposition of n x n in multiply-adds, over n³.
_EIGH = 9.0

# What gradients take beside a run of the model.
_BACKWARD = 2.0

# What loading a model takes, for each of its nodes, and for each weight that a cut may change:
# it is written, read, and laid out anew by the runtime.
_LOADED = 5e5
_STORED = 100.0

# The share of the work that may go into the losses where more than the least is tried.
_LOSSES = 0.4
_CHEAP_LOSSES = 0.7

# An elimination of channels of K rows, over K³.
_ELIMINATION = 4.0

# What a calibration takes beside runs of the model, before it is known; and what choosing ranks
# with the largest effort takes beside the calibration.
_WITH_MOMENTS = 1.5
_THOROUGH = 7.0

# A model whose arithmetic is not known is taken to be small.
_UNKNOWN = 1e8


@dataclasses.dataclass(frozen=True)
class Work:
    """Multiply-adds of the parts of a search.

    Attributes:
        calibration: The survey of the outputs, and the gathering of moments.
        losses: The cross-validation of losses.
        evaluation: One plan.
        refit: The refit of one plan, with its two evaluations.
        prediction: What to expect of the plan that is taken.
        channels: The eliminations of channels.
    """

    calibration: float
    losses: float
    evaluation: float
    refit: float
    prediction: float
    channels: float = 0.0

    def evaluations(self, effort: Effort, least: int) -> int | None:
        """The plans that may be measured; None for as many as are worth it.

        Args:
            effort: What bounds the work.
            least: The plans that are measured whatever it takes.
        """
        if not effort.bounded:
            return None
        left = effort.allowed(self.calibration) - self.losses - self.channels
        left -= self.refit + self.prediction
        return max(least, math.floor(left / self.evaluation))

    def losses_foreseen(self, seconds: float) -> dict[str, float]:
        """The seconds that losses will take, by those that the survey and the calibration took."""
        return {"cross-validate losses": seconds * self.losses / self.calibration}

    def foreseen(self, plans: int, seconds: float) -> dict[str, float]:
        """The seconds that stages will take, by those that the calibration took.

        Args:
            plans: The plans that will be measured.
            seconds: What the survey and the calibration took.
        """
        stages = {
            "evaluate plans": plans * self.evaluation,
            "refit": self.refit,
            "predict": self.prediction,
        }
        return {name: seconds * part / self.calibration for name, part in stages.items()}


def rough_forecast(run: CalibrationRun, macs: float, seconds: float) -> dict[str, float]:
    """The seconds that stages will take, by those that the survey took, before any statistics are.

    Args:
        run: The model and the data, which are to be calibrated by gradients.
        macs: Multiplications of the dense model for one sample.
        seconds: What the survey took.
    """
    data, effort = run.data, run.effort
    samples, forward = data.calibration_samples, macs if np.isfinite(macs) and macs else _UNKNOWN
    rate = min(SURVEYED, samples) * forward / max(seconds, 1e-3)
    few = effort.differentiated(samples)
    runs = samples - few + few * (1 + _BACKWARD) * run.sampling.draws
    calibration = _WITH_MOMENTS * runs * forward
    allowed = effort.allowed(calibration) if effort.bounded else _THOROUGH * calibration
    share = _CHEAP_LOSSES if effort.is_cheap(calibration) else _LOSSES
    losses = share * allowed if effort.metrics else 0.0
    verified = data.holdout_samples + min(data.holdout_samples, samples)
    stages = {
        "calibrate": calibration,
        "cross-validate losses": losses,
        "evaluate plans": allowed - losses,
        "verify": 2 * verified * forward,
    }
    return {name: work / rate for name, work in stages.items() if work}


def as_far_as_it_goes(run: CalibrationRun, gathered: Gathered, macs: float) -> Effort:
    """The effort of a run with as many metrics, on as many folds, as a share of its work pays for.

    The more samples were calibrated on, the less it is to cross-validate some of them.

    Args:
        run: The model and the data.
        gathered: What calibration found.
        macs: Multiplications of the dense model for one sample.
    """
    effort = run.effort
    if not effort.bounded or not effort.metrics:
        return effort
    for metrics in (run.effort.metrics, HIGH.metrics):
        wider = dataclasses.replace(effort, metrics=metrics, folds=HIGH.folds)
        work = work_of(dataclasses.replace(run, effort=wider), gathered, macs, 0, 0)
        share = _CHEAP_LOSSES if effort.is_cheap(work.calibration) else _LOSSES
        if work.losses <= share * effort.allowed(work.calibration):
            effort = wider
    return effort


def affordable(
    run: CalibrationRun, macs: float, narrowings: Sequence[Narrowing]
) -> tuple[dict[str, str], float]:
    """Channels whose eliminations a share of the work does not pay for, or memory does not hold.

    The cheapest are taken first.

    Args:
        run: The model and the data.
        macs: Multiplications of the dense model for one sample.
        narrowings: The channels.

    Returns:
        Why the others stay, by name, and what those take that may go.
    """
    effort, forward = run.effort, macs if np.isfinite(macs) and macs > 0 else _UNKNOWN
    calibrated, parts = run.data.calibration_samples, int(run.surveyed.folds.max()) + 1
    times = 1 + effort.judging
    extra = effort.differentiated(calibrated) * ((1 + _BACKWARD) * run.sampling.draws - 1)
    least = (min(SURVEYED, calibrated) + calibrated + extra) * forward
    most = effort.channels * effort.allowed(least) if effort.bounded else np.inf
    room, total, refused = run.data.memory.channels, 0.0, {}
    for each in sorted(narrowings, key=lambda each: sum(t.rows**3 for t in each.readers)):
        cost = sum((_ELIMINATION * times + ROWS_A_DIMENSION) * t.rows**3 for t in each.readers)
        size = sum(8 * (parts + times) * t.rows**2 for t in each.readers)
        if total + cost > most:
            refused[each.name] = f"choosing among them is more than --effort {effort.name} pays for"
        elif size > room:
            refused[each.name] = "the moments of what reads them are more than --memory leaves them"
        else:
            total, room = total + cost, room - size
    return refused, total


def work_of(run: CalibrationRun, gathered: Gathered, macs: float, samples: int, folds: int) -> Work:
    """Counts the work of one run.

    Args:
        run: The model and the data.
        gathered: What calibration found.
        macs: Multiplications of the dense model for one sample.
        samples: Samples of a fold on which plans are measured.
        folds: Folds on which they are.
    """
    forward = macs if np.isfinite(macs) and macs > 0 else _UNKNOWN
    calibrated, effort = run.data.calibration_samples, run.effort
    backward = _BACKWARD if gathered.observer is not None and gathered.observer.gradients else 0.0
    both = (1 + backward) * forward * run.sampling.draws
    few = effort.differentiated(calibrated) if backward else calibrated
    load, made = _LOADED * len(run.normal.graph), 0.0
    each = min(samples, calibrated // max(1, len(gathered.parts)))
    moments, decomposed, coefficients = 0.0, 0.0, 0.0
    for target in run.targets:
        found = gathered.statistics.get(target.name)
        if found is None:
            continue
        rows = found.signal.count / max(1, calibrated)
        moments += rows * target.groups * target.width**2
        decomposed += _EIGH * target.groups * target.width**3
        if target.is_own:
            # A factor down to half of the rank or so, and the product of the two.
            made += target.params * (_STORED + target.width)
        coefficients += 2 * rows * target.groups * target.width**2
    metrics = len(shrinkages_for(calibrated, effort.metrics)) if effort.metrics else 0
    tried = min(CROSS_VALIDATED, calibrated) * min(1.0, effort.folds / max(1, len(gathered.parts)))
    evaluation = folds * (each * forward + load + made)
    # All folds but one are fitted, in the dense model and in the compressed one, and the plain
    # factors and the fitted ones are measured on that.
    fitted = min(effort.fitted, calibrated - calibrated // max(1, len(gathered.parts)))
    refit = 2 * (fitted * forward + load + made) + evaluation
    return Work(
        calibration=(min(SURVEYED, calibrated) + calibrated - few) * forward
        + few * both
        + calibrated * moments
        + 2 * load,
        losses=metrics * (effort.folds * decomposed + tried * coefficients)
        + (tried * both if metrics else 0.0),
        evaluation=evaluation,
        refit=refit * min(1, effort.refits),
        prediction=effort.predicted * (2 * each * forward + load + made),
    )
