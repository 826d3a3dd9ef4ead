"""The diagonal of the Fisher information: each row of a weight counts for itself."""

from __future__ import annotations

from ...passes import Target
from ...statistics.calibration_run import CalibrationRun, Gathered
from ...statistics.model_statistics import TargetStatistics
from ...statistics.observed_ranks import note_ranks
from ...statistics.observer import Observer
from ...statistics.row_importance import gather_row_importance
from ..moment_shrinkage import MomentShrinkage
from ..spectrum import Spectrum, decompose
from ..weighting import Weighting
from .registry import register

__all__ = ["Diagonal"]


@register
class Diagonal(Weighting):
    """Rows count by their squared gradients (see `row_importance`)."""

    name = "diagonal"
    literature = "FWSVD"
    instead = "with all rows alike"

    def covers(self, target: Target) -> bool:
        """Only the operator's own unfolding: what is known of its rows says nothing of others'."""
        return target.is_own

    def gather(self, run: CalibrationRun) -> Gathered:
        """The squared gradients of each row."""
        return gather_row_importance(run)

    def observer(self, run: CalibrationRun) -> Observer | None:
        """What shows signals where they are read, and gradients."""
        note_ranks(run.normal, run.data, run.runtime)
        return run.observer(gradients=True, side="input")

    def spectrum(
        self,
        target: Target,
        statistics: TargetStatistics | None,
        shrinkage: MomentShrinkage | None = None,  # noqa: ARG002 - there are no moments
    ) -> Spectrum:
        """A is diagonal, G the identity."""
        rows = None if statistics is None else statistics.rows
        return decompose(target.matrices(), None if rows is None else rows.mean)
