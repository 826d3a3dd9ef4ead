"""Lengths that operators imply, where shape inference is silent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from ...graph import constant, subgraphs
from ..adjoint import dims
from ..adjoint.emission.facts import Facts
from .group import Indices
from .linear import product_of

__all__ = ["imply"]


def _quotient(above: Indices, below: Indices) -> Indices:
    """Integers divided as ONNX does it: towards zero. What cannot be, is zero."""
    whole = np.abs(above) // np.maximum(np.abs(below), 1)
    return np.asarray(np.sign(above) * np.sign(below) * whole)


_ARITHMETIC: dict[str, Callable[..., Indices]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _quotient,
    "Neg": np.negative,
    "Max": np.maximum,
    "Min": np.minimum,
}


def imply(model: ir.Model, graph: ir.Graph, facts: Facts) -> None:
    """Adds to the facts of a graph what weights say of channels, and what follows from that."""
    for node in graph:
        dims.visit(node, facts)
        if node.domain == "":
            _by_weight(model, node, facts)
            _by_split(node, facts)
            _by_numbers(node, facts)
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


def _by_numbers(node: ir.Node, facts: Facts) -> None:
    """Computes with lists of integers that are known."""
    compute, lists = _ARITHMETIC.get(node.op_type), []
    for value in node.inputs if compute is not None else ():
        listed = () if value is None else facts.ints.get(value, ())
        numbers = [number for number in listed if isinstance(number, int)]
        if not numbers or len(numbers) < len(listed):
            return
        lists.append(np.array(numbers, np.int64))
    if compute is not None and node.outputs[0] not in facts.ints:
        facts.ints[node.outputs[0]] = tuple(compute(*lists).reshape(-1).tolist())


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
