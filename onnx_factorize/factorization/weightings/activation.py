"""The moments of activations: a target's own output counts, whatever becomes of it behind."""

from __future__ import annotations

from ...passes import Target
from ...statistics.calibrate import gather_moments
from ...statistics.calibration_run import CalibrationRun, Gathered
from ...statistics.model_statistics import TargetStatistics
from ..moment_shrinkage import SHRINKAGES, MomentShrinkage, shrunk_spectrum
from ..spectrum import Spectrum
from ..target_factors import kronecker_factors
from ..weighting import Weighting
from .registry import register

__all__ = ["Activation"]


@register
class Activation(Weighting):
    """A is the moment of the input, G the identity."""

    name = "activation"
    literature = "SVD-LLM, DRONE, ASVD with full whitening"

    def gather(self, run: CalibrationRun) -> Gathered:
        """The moments of what targets read, or compute."""
        return gather_moments(run, gradients=False)

    def spectrum(
        self,
        target: Target,
        statistics: TargetStatistics | None,
        shrinkage: MomentShrinkage | None = None,
    ) -> Spectrum:
        """Whitened by A."""
        assert statistics is not None
        factors = kronecker_factors(target, statistics, gradient=False)
        return shrunk_spectrum(factors, statistics.signal.count, shrinkage or SHRINKAGES[0])
