"""The walk from the outputs of linear operators to all that their channels reach."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ...graph import opset, scopes
from .._bodies import unobservable
from ..adjoint.inference import infer
from ..linear.provenance import origin_name
from .implied import imply
from .linear import Product, product_of
from .operand import Axis, Operand, Use
from .registry import RULES
from .step import Step, named
from .trace import Trace

__all__ = ["follow"]

_MADE = "was factorized before: it is left as it is"


def follow(
    model: ir.Model, names: Mapping[ir.Node, str], *, factors: bool = False
) -> tuple[Trace, dict[ir.Node, str]]:
    """Follows the channels that linear operators compute.

    Args:
        model: The model; it is only read.
        names: The linear operators, with their names.
        factors: Whether operators that were factorized are followed like others.

    Returns:
        What was found, and the operators whose outputs are not followed, with the reason.
    """
    facts = infer(model)
    imply(model, model.graph, facts)
    trace = Trace(model, facts)
    refused: dict[ir.Node, str] = {}
    for scope, owners in scopes(model.graph):
        hidden = unobservable(owners)
        for node in scope:
            if node not in names:
                continue
            product = product_of(model, node)
            if isinstance(product, str) or hidden is not None:
                refused[node] = hidden or str(product)
            elif not factors and origin_name(node) is not None:
                refused[node] = _MADE
            elif product.groups == 1:
                if node.op_type == "Gather":
                    trace.embeddings.add(node)
                reason = _begin(trace, node, product)
                if reason is not None:
                    refused[node] = reason
    while trace.fresh:
        _visit(trace, trace.fresh.pop(0), factors)
    return trace, refused


def _begin(trace: Trace, node: ir.Node, product: Product) -> str | None:
    """Makes the channels of an operator known, or says why they cannot be."""
    y, weight = Operand(node, 0, True), trace.dims(Operand(node, product.weight))
    dims = trace.dims(y)
    if weight is None or dims is None:
        return "gives a value whose shape is not known"
    length = weight[product.columns]
    assert isinstance(length, int)
    if length == 1:
        return "has a single output"
    trace.axis(y, product.made % len(dims), length)
    return None


def _visit(trace: Trace, axis: Axis, factors: bool) -> None:
    """Asks every operator that gives or reads a value what becomes of one of its axes."""
    holder = axis.holder
    if isinstance(holder, Use):
        return
    if axis.length == 1:
        trace.block(axis, f"they are apart in '{holder.name}'")
        return
    if holder.is_graph_input():
        trace.block(axis, f"they are an input, '{holder.name}'")
    if holder.is_graph_output():
        trace.block(axis, f"they are an output, '{holder.name}'")
    node = holder.producer()
    if node is not None:
        _ask(trace, Operand(node, node.outputs.index(holder), True), axis, factors)
    for reader, index in holder.uses():
        if node is not None and reader.graph is not node.graph:
            trace.block(axis, f"'{holder.name}' is read in the body of another operator")
        _ask(trace, Operand(reader, index), axis, factors)


def _ask(trace: Trace, operand: Operand, axis: Axis, factors: bool) -> None:
    node = operand.node
    trace.touch(axis, node)
    version = trace.model.opset_imports.get(node.domain, opset(trace.model))
    found = RULES.find(node.domain, node.op_type, version)
    if found is None:
        trace.block(axis, f"{named(node)} is not known to treat them one by one")
    elif not factors and origin_name(node) is not None:
        trace.block(axis, f"'{origin_name(node)}' {_MADE}")
    else:
        found(Step(trace, operand, axis))
