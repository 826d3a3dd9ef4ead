"""Losses of targets that no gradient reaches, by one measured cut of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arrays import Array
from ..evaluation import Divergences, Recorded
from ..factorization.losses import relative_losses
from ..factorization.rewriting import factors_by_name
from ..factorization.spectrum import Spectrum
from ..passes import Target
from ..statistics.calibration_run import CalibrationRun
from ..statistics.model_statistics import TargetStatistics
from .standing_model import StandingModel

__all__ = ["MeasuredLosses"]

# Samples that settle the scale.
_SAMPLES = 32


class MeasuredLosses:
    """Measures one cut of a target after the other: the dense model is run once for all.

    Attributes:
        scales: Of each target so far what its relative losses were multiplied by.
    """

    def __init__(self, run: CalibrationRun, statistics: Mapping[str, TargetStatistics]) -> None:
        """Runs the dense model.

        Args:
            run: The model and the data.
            statistics: Target name to what calibration found.
        """
        self._outputs, self._statistics = run.surveyed.outputs, statistics
        self._standing = StandingModel(run.normal, list(self._outputs), run.runtime)
        only = run.data.some(_SAMPLES)
        batches = run.data.micro_batches("calibration", only)
        self._recorded = Recorded.of(self._standing.dense, batches)
        self.scales: list[float] = []

    def of(self, target: Target, spectrum: Spectrum) -> Array | None:
        """Relative losses of a target, in the unit of the divergence.

        The target is cut alone to half of the rank at which it is as large as before, and the
        divergence of that cut gives the scale of all.

        Args:
            target: The target.
            spectrum: Its spectrum.

        Returns:
            The loss at every rank, shape (full rank + 1,); None if the cut makes outputs not
            finite.
        """
        rank = max(1, target.params // target.factor_params(2))
        name = target.name
        factors = factors_by_name([target], {name: rank}, {name: spectrum}, self._statistics)
        found = Divergences(self._outputs)
        self._recorded.compare(self._standing.session(factors), found)
        relative = relative_losses(spectrum)
        scale = found.value / max(relative[rank], 1e-12)
        losses = np.asarray(relative * scale)
        if not np.isfinite(losses).all():
            return None
        self.scales.append(scale)
        return losses

    def like_others(self, spectrum: Spectrum) -> Array:
        """Losses of a target that there is no time to measure, at the usual scale of the others.

        Args:
            spectrum: Its spectrum.
        """
        usual = np.exp(np.mean(np.log(np.maximum(self.scales, 1e-30))))
        return np.asarray(relative_losses(spectrum) * usual)
