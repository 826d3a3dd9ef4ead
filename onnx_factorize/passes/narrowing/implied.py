"""Lengths that operators imply, where shape inference is silent."""

from __future__ import annotations

import onnx_ir as ir

from ...graph import constant, subgraphs
from ..adjoint import dims
from ..adjoint.facts import Facts
from .linear import product_of

__all__ = ["imply"]


def imply(model: ir.Model, graph: ir.Graph, facts: Facts) -> None:
    """Adds to the facts of a graph what weights say of channels, and what follows from that."""
    for node in graph:
        dims.visit(node, facts)
        if node.domain == "":
            _by_weight(model, node, facts)
            _by_split(node, facts)
        for inner in subgraphs(node):
            imply(model, inner, facts)


def _by_weight(model: ir.Model, node: ir.Node, facts: Facts) -> None:
    product = product_of(model, node)
    if isinstance(product, str) or node.op_type == "Gather":
        return
    weight, x = node.inputs[product.weight], node.inputs[product.x]
    shape = facts.dims.get(weight) if weight is not None else None
    if shape is None or x is None:
        return
    ends = ((product.rows, x, product.read), (product.columns, node.outputs[0], product.made))
    for axis, value, place in ends:
        length = shape[axis]
        if isinstance(length, int):
            # The second axis of a kernel has the channels of one group.
            _know(facts, value, place, length * (product.groups if axis == 1 else 1))


def _by_split(node: ir.Node, facts: Facts) -> None:
    if node.op_type != "Split":
        return
    given = list(node.attributes.get_ints("split", ()))
    tensor = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if tensor is not None:
        given = [int(length) for length in tensor.numpy().reshape(-1)]
    for value, length in zip(node.outputs, given, strict=False):
        _know(facts, value, node.attributes.get_int("axis", 0), length)


def _know(facts: Facts, value: ir.Value, axis: int, length: int) -> None:
    """Notes the length of an axis, where nothing is known of it."""
    known = facts.dims.get(value)
    if known is not None and -len(known) <= axis < len(known):
        sizes = list(known)
        if not isinstance(sizes[axis], int):
            sizes[axis] = length
        facts.dims[value] = tuple(sizes)
