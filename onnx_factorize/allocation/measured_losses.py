"""Losses of a target that no gradient reaches, by one measured cut."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..evaluation import compare_outputs
from ..factorization.losses import relative_losses
from ..factorization.rewriting import rewritten
from ..factorization.spectrum import Spectrum
from ..passes import Target
from ..statistics.calibration_run import CalibrationRun
from ..statistics.model_statistics import TargetStatistics

__all__ = ["measured_losses"]

# Samples that settle the scale.
_SAMPLES = 32


def measured_losses(
    run: CalibrationRun,
    target: Target,
    spectrum: Spectrum,
    statistics: Mapping[str, TargetStatistics],
) -> npt.NDArray[np.float64] | None:
    """Relative losses of a target, in the unit of the divergence.

    The target is cut alone to half of the rank at which it is as large as before, and the
    divergence of that cut gives the scale of all.

    Args:
        run: The model and the data.
        target: The target.
        spectrum: Its spectrum.
        statistics: Target name to what calibration found.

    Returns:
        The loss at every rank, shape (full rank + 1,); None if the cut makes outputs not finite.
    """
    rank = max(1, target.params // target.factor_params(2))
    cut = rewritten(run.normal, [target], {target.name: rank}, {target.name: spectrum}, statistics)
    outputs = run.surveyed.outputs
    dense, compressed = (run.runtime.session(each, list(outputs)) for each in (run.normal, cut))
    measured = compare_outputs(
        dense, compressed, outputs, run.data, "calibration", _SAMPLES, finite=False
    ).divergence
    relative = relative_losses(spectrum)
    losses = np.asarray(relative * (measured / max(relative[rank], 1e-12)))
    return losses if np.isfinite(losses).all() else None
