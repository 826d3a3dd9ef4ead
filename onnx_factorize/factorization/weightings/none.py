"""The plain truncated singular value decomposition."""

from __future__ import annotations

from ...passes import Target
from ...statistics.model_statistics import TargetStatistics
from ..moment_shrinkage import MomentShrinkage
from ..spectrum import Spectrum, decompose
from ..weighting import Weighting
from .registry import register

__all__ = ["Unweighted"]


@register
class Unweighted(Weighting):
    """All directions count alike: nothing is observed."""

    name = "none"
    literature = "truncated SVD"

    def spectrum(
        self,
        target: Target,
        statistics: TargetStatistics | None,  # noqa: ARG002 - there are none
        shrinkage: MomentShrinkage | None = None,  # noqa: ARG002 - nor moments
    ) -> Spectrum:
        """The singular values of the weight itself."""
        return decompose(target.matrices())
