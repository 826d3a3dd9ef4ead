"""The linear operators that are variants of the plain ones, and their kinds."""

from __future__ import annotations

import onnx_ir as ir

from .linear.operator_spec import OperatorSpec
from .linear.registry import spec_of
from .linear.variant import Variant
from .linear.weights import COMPUTED, Origin, origin_of

__all__ = ["variant_of"]


def variant_of(model: ir.Model, node: ir.Node) -> Variant | str | None:
    """The variant that a node is, the reason why it is no target, or None where it is plain."""
    spec = spec_of(node)
    if spec is None or spec.picks_rows:
        return None
    operands = _operands(model, node, spec)
    if isinstance(operands, str):
        return operands
    x, weight, shape = operands
    for read in spec.variants:
        found = read(model, node, x, weight, shape)
        if found is not None:
            return found
    return None


def _operands(
    model: ir.Model, node: ir.Node, spec: OperatorSpec
) -> tuple[ir.Value, ir.Value, tuple[int, ...]] | str:
    """The computed operand, the constant one and its shape, or the reason why there are no such."""
    a, b = (*node.inputs, None, None)[:2]
    if a is None or b is None:
        return "lacks an operand"
    right = origin_of(model, b)
    if isinstance(right, Origin):
        if isinstance(origin_of(model, a), Origin):
            return "both of its operands are constant: fold constants first"
        return a, b, tuple(right.read().shape.numpy())
    if 0 not in spec.weights:
        return right
    left = origin_of(model, a)
    if isinstance(left, Origin):
        return b, a, tuple(left.read().shape.numpy())
    return left if right == COMPUTED and isinstance(left, str) else right
