"""The Fisher information, Kronecker-factored: what changes the outputs of the model counts."""

from __future__ import annotations

from ...passes import Target
from ...statistics.calibrate import gather_moments
from ...statistics.calibration_run import CalibrationRun, Gathered
from ...statistics.model_statistics import TargetStatistics
from ...statistics.observed_ranks import note_ranks
from ...statistics.observer import Observer
from ..losses import kronecker_losses, table_losses
from ..moment_shrinkage import LIGHT, SHRINKAGES, MomentShrinkage, shrunk_spectrum
from ..shrinkage_choice import choose_shrinkages
from ..spectrum import Spectrum
from ..target_factors import kronecker_factors
from ..weighting import PredictedLosses, Spectra, Weighting
from .registry import register

__all__ = ["Fisher"]


@register
class Fisher(Weighting):
    """A is the moment of the input, G that of the gradient; losses are cross-validated, in nats."""

    name = "fisher"
    literature = "K-FAC SVD, OBD-LLM, GFWSVD"
    unit = "nats"
    beside = ("activation",)

    def gather(self, run: CalibrationRun) -> Gathered:
        """The moments of signals and gradients, fold by fold."""
        return gather_moments(run, gradients=True)

    def observer(self, run: CalibrationRun) -> Observer | None:
        """What shows signals and gradients."""
        note_ranks(run.normal, run.data, run.runtime)
        return run.observer(gradients=True)

    def spectrum(
        self,
        target: Target,
        statistics: TargetStatistics | None,
        shrinkage: MomentShrinkage | None = None,
    ) -> Spectrum:
        """Whitened by A and G."""
        assert statistics is not None
        factors = kronecker_factors(target, statistics)
        return shrunk_spectrum(factors, statistics.signal.count, shrinkage or SHRINKAGES[0])

    def losses(self, run: CalibrationRun, gathered: Gathered, spectra: Spectra) -> PredictedLosses:
        """Cross-validated; by the Kronecker approximation where rows belong to no single samples.

        Targets without a gradient have none.
        """
        if not run.effort.metrics or run.progress.late:
            return self.closed_form(run, gathered, spectra)
        chosen = choose_shrinkages(run, gathered)
        gathered.leave_out()  # gradients of other draws and places may not be finite
        reached = [t for t in run.targets if gathered.ran(t) and t.name not in gathered.unreachable]
        # Of tied weights, an operator that the data never reached keeps all of them dense.
        losses = {t.name: chosen.losses[t.name] for t in reached if t.name in chosen.losses}
        shrinkages = {name: SHRINKAGES[chosen.shrinkages[name]] for name in losses}
        for target in reached:
            if target.name in losses and any(use.embedding for use in target.uses):
                spectrum = spectra.of(target, self, shrinkages[target.name])
                losses[target.name] = table_losses(target, losses[target.name], spectrum)
        for target in reached:
            if target.name not in losses:
                losses[target.name] = kronecker_losses(spectra.of(target, self))
        return PredictedLosses(losses, shrinkages, chosen)

    def closed_form(
        self, run: CalibrationRun, gathered: Gathered, spectra: Spectra
    ) -> PredictedLosses:
        """By the Kronecker approximation, from moments that are lightly shrunk."""
        reached = [t for t in run.targets if gathered.ran(t) and t.name not in gathered.unreachable]
        light = {target.name: LIGHT for target in reached}
        losses = {}
        with run.progress.stage("decompose", len(reached)) as advance:
            for target, spectrum in zip(reached, spectra.each(reached, self, light), strict=True):
                losses[target.name] = kronecker_losses(spectrum)
                advance(1)
        return PredictedLosses(losses, light)
