"""The channels of the user's own graph, made readable where it hides them."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from ...graph import Namer
from .._names import linear_names
from ..linear.registry import spec_of
from ..linear.sharing import asked_once
from ..linear.site import Site
from ..linear.variant import Variant
from ..normalize import LiftWeights
from ..variants import variant_of
from .find_channels import Channels, channels_of
from .follow import follow
from .trace import Trace

__all__ = ["MakePlain", "followed", "members"]


@asked_once
def followed(model: ir.Model) -> tuple[Trace, dict[str, Channels]]:
    """The channels of a model, and those that can go by name."""
    names = linear_names(model)
    trace, _ = follow(model, names, factors=True)
    every = channels_of(trace, names)
    return trace, {channels.name: channels for channels in every if channels.reason is None}


def members(model: ir.Model, wanted: Collection[str]) -> list[str]:
    """The operators that have weights of some channels of the normalised model."""
    normal = model.clone()
    LiftWeights()(normal)
    names = linear_names(normal)
    trace, groups = followed(normal)
    return [
        names[node]
        for name in wanted
        for axis in (groups[name].elements if name in groups else ())
        for node in trace.nodes.get(axis.number, ())
        if node in names
    ]


class MakePlain(ir.passes.InPlacePass):
    """Puts plain operators in the place of those whose channels are followed in no other way."""

    def __init__(self, only: Collection[str]) -> None:
        """Initializes the pass.

        Args:
            only: The names of the operators to replace; convolutions stay.
        """
        self._only = set(only)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        modified, free = False, Namer(model)
        for node, name in linear_names(model).items():
            spec = spec_of(node)
            if name in self._only and spec is not None and not spec.is_convolution:
                variant = variant_of(model, node)
                if isinstance(variant, Variant):
                    variant.canonicalize(Site(model, free, node, name))
                    modified = True
        return ir.passes.PassResult(model, modified=modified)
