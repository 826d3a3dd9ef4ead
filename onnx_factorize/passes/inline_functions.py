"""Bring the linear operators of model-local functions into the main graph."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import scopes, subgraphs
from ..graph.inline import holding, inline
from .linear.weight_inputs import is_linear

__all__ = ["InlineLinearFunctions"]


class InlineLinearFunctions(ir.passes.InPlacePass):
    """Replaces calls of functions that hold linear operators by their bodies.

    A function may be called several times, with weights of its own each time; only its calls
    have weights and activations that can be told apart. All other functions stay, and so do those
    that cannot be inlined: with another opset than the model's, with graphs among their
    attributes, or recursive.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph, every subgraph and every function that stays."""
        holders = holding(model, is_linear)
        chosen = {key for key in holders if _inlinable(model, model.functions[key])}
        return ir.passes.PassResult(model, modified=inline(model, chosen))


def _inlinable(model: ir.Model, function: ir.Function) -> bool:
    same = all(
        model.opset_imports.get(domain, version) == version
        for domain, version in function.opset_imports.items()
    )
    called = (
        node
        for scope, _ in scopes(model.graph)
        for node in scope
        if node.op_identifier() == function.identifier()
    )
    return same and not any(True for node in called for _ in subgraphs(node))
