"""Bring the linear operators of model-local functions into the main graph."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from ..graph import scopes, subgraphs
from ._operators import is_linear

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
        holding = {f.identifier() for f in model.functions.values() if _holds_linear(f)}
        growing = True
        while growing:
            callers = {
                function.identifier()
                for function in model.functions.values()
                if any(node.op_identifier() in holding for node in function.all_nodes())
            }
            growing = not callers <= holding
            holding |= callers
        chosen = {key for key in holding if _inlinable(model, model.functions[key])}
        if not chosen:
            return ir.passes.PassResult(model, modified=False)
        try:
            return InlinePass(lambda function: function.identifier() in chosen)(model)
        except ir.passes.PassError:  # functions that call each other: they stay as they are
            return ir.passes.PassResult(model, modified=False)


def _holds_linear(function: ir.Function) -> bool:
    return any(is_linear(node) for node in function.all_nodes())


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
