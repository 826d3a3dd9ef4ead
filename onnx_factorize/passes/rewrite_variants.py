"""Variants of the linear operators become two of their kind."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ..graph import Namer, scopes
from ._operators import TREATED
from ._site import Site
from .negligible import without_negligible
from .provenance import Provenance, origin_name, stamp
from .target import Factors
from .variants import variant_of

__all__ = ["RewriteVariants"]


class RewriteVariants(ir.passes.InPlacePass):
    """Rewrites products with the constant on the left or of stacks, Einsum and ConvTranspose.

    The node keeps its name, its outputs and its metadata and becomes the last of its chain, as in
    `Rewrite`. Biases are not corrected: none of these has one that is constant over its rows.
    """

    def __init__(self, factors: Mapping[str, Factors]) -> None:
        """Initializes the pass.

        Args:
            factors: The factors of each target to rewrite, by name; others are ignored.
        """
        self._factors = factors

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrites every variant that has factors."""
        names, modified = Namer(model), False
        for scope, _ in list(scopes(model.graph)):
            for node in list(scope):
                factors = self._factors.get(node.name or "")
                if (
                    factors is None
                    or (node.domain, node.op_type) not in TREATED
                    or origin_name(node)
                ):
                    continue
                variant = variant_of(model, node)
                if variant is None or isinstance(variant, str) or variant.split:
                    continue
                site = Site(model, names, node, node.name or "")
                full_rank = min(factors.first.shape[1], factors.second.shape[2])
                mark = Provenance(node.op_type, variant.form, factors.rank, full_rank)
                assert variant.weight.dtype is not None
                kept = without_negligible(factors, variant.weight.dtype.numpy())
                variant.rewrite(site, kept)
                stamp(node, site.made, mark, site.name)
                modified = True
        return ir.passes.PassResult(model, modified=modified)
