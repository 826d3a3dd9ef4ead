"""Variants of the linear operators become two of their kind."""

from __future__ import annotations

from collections.abc import Container

import onnx_ir as ir

from ..graph import Namer, scopes
from .linear.factors import Factors
from .linear.negligible import without_negligible
from .linear.provenance import Provenance, origin_name, stamp
from .linear.registry import spec_of
from .linear.sharing import asked_once
from .linear.site import Site
from .linear.variant import Variant
from .variants import variant_of

__all__ = ["find_variants", "rewrite_variant"]


@asked_once
def find_variants(model: ir.Model, names: Container[str]) -> dict[str, tuple[ir.Node, Variant]]:
    """Products with the constant on the left or of stacks, Einsum, ConvTranspose and the like.

    Args:
        model: The model.
        names: The operators that are wanted.
    """
    found = {}
    for scope, _ in scopes(model.graph):
        for node in scope:
            name = node.name or ""
            known = name in names and spec_of(node) is not None
            if not known or origin_name(node):
                continue
            variant = variant_of(model, node)
            if isinstance(variant, Variant) and not variant.split:
                found[name] = node, variant
    return found


def rewrite_variant(
    model: ir.Model, names: Namer, node: ir.Node, variant: Variant, factors: Factors
) -> None:
    """Puts factors into a variant.

    The node keeps its name, its outputs and its metadata and becomes the last of its chain, as in
    `Rewrite`. Biases are not corrected: none of these has one that is constant over its rows.

    Args:
        model: The model that holds it.
        names: Gives the names of what is made.
        node: The node.
        variant: What it is.
        factors: Its factors.
    """
    site = Site(model, names, node, node.name or "")
    spec, full_rank = spec_of(node), min(factors.down.shape[1], factors.up.shape[2])
    assert spec is not None
    mark = Provenance(node.op_type, spec.title, factors.rank, full_rank)
    assert variant.weight.dtype is not None
    variant.rewrite(site, without_negligible(factors, variant.weight.dtype.numpy()))
    stamp(node, site.made, mark, site.name)
