"""Identity blocks that stand in a graph, and what emits more of their kind."""

from __future__ import annotations

import onnx_ir as ir

from ...graph import Namer, scopes
from ..factor_pairs import rewrite_of
from ..linear.provenance import PREFIX, origin_name, provenance_of
from ..linear.rewrite import Rewrite
from ..linear.site import Site
from ..linear.target import Target

__all__ = ["BLOCK", "NOTE", "emitter", "identity_blocks_in", "is_block", "take_note"]

# What reports call two factors whose identity is not stored: this behind their form.
BLOCK = ", identity block"

# What a user must know of them, in the metadata of a model and in what is printed.
NOTE = "quantize with --quantize, not afterwards"
_KEY = f"{PREFIX}identity_blocks"


def is_block(node: ir.Node) -> bool:
    """Tells whether a node is the last of an identity block."""
    made = provenance_of(node)
    return made is not None and made.form.endswith(BLOCK)


def identity_blocks_in(model: ir.Model) -> set[str]:
    """The operators that a model holds as identity blocks."""
    nodes = (node for scope, _ in scopes(model.graph) for node in scope)
    return {str(origin_name(node)) for node in nodes if is_block(node)}


def take_note(model: ir.Model) -> None:
    """Says in a model's metadata how many it holds, and what not to do with it; or no more."""
    count = len(identity_blocks_in(model))
    model.metadata_props.pop(_KEY, None)
    if count:
        model.metadata_props[_KEY] = f"{count}; {NOTE}"


def emitter(model: ir.Model, names: Namer, target: Target, place: ir.Node, origin: str) -> Rewrite:
    """Makes what emits linear maps of the kind of a target.

    Args:
        model: The model.
        names: Gives the names of what is made.
        target: The target.
        place: The node before which they stand.
        origin: What they are called after.
    """
    made = rewrite_of(model, names, target)
    made.site = Site(model, names, place, origin)
    return made
