"""Put factors into a model: everything that a result needs, in order."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from .clean_up import CleanUp
from .normalize import LiftWeights
from .rewrite_conv import RewriteConv, RewriteConvInput, RewriteConvSpatial, RewriteConvTucker
from .rewrite_embedding import RewriteGather
from .rewrite_gemm import RewriteGemm
from .rewrite_matmul import RewriteMatMul
from .rewrite_variants import RewriteVariants
from .share_factors import ShareFactors
from .target import Factors

__all__ = ["RewriteTargets"]


# Lookups first: what shares their table reads its factors transposed, and they as they are.
_REWRITES = (
    RewriteGather,
    RewriteVariants,
    RewriteMatMul,
    RewriteGemm,
    RewriteConv,
    RewriteConvInput,
    RewriteConvSpatial,
    RewriteConvTucker,
)


class RewriteTargets(ir.passes.InPlacePass):
    """Rewrites targets by their factors, and leaves all else in the model as it is.

    The model may be the user's, or the one that `LiftWeights` made of it for calibration: targets
    have the same names in both. The user's gives the better graph.
    """

    def __init__(self, factors: Mapping[str, Factors]) -> None:
        """Initializes the pass.

        Args:
            factors: The factors of each target to rewrite, by name.
        """
        self._factors = factors

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the passes."""
        operators = {factors.operator or name for name, factors in self._factors.items()}
        lifted = LiftWeights(only=operators)(model).modified
        for rewrite in _REWRITES:
            rewrite(self._factors)(model)
        ShareFactors()(model)
        CleanUp()(model)
        return ir.passes.PassResult(model, modified=lifted or bool(self._factors))
