"""Counts the multiplications of any operator, linear ones that are not treated among them."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from .linear.marks import is_helper
from .linear.multiplications import Lengths, Term, of_conv, of_matmul, operand
from .linear.operator_spec import MICROSOFT
from .linear.registry import spec_of

__all__ = ["multiplications"]


def multiplications(node: ir.Node) -> tuple[Term, ...] | None:
    """The multiplications of a node, None where it has none that are counted.

    Products of activations with one another count too. Quantized operators do not.
    """
    spec = spec_of(node)
    count = _UNTREATED.get((node.domain, node.op_type)) if spec is None else spec.multiplications
    if count is None or (node.domain == "" and is_helper(node)):
        return None
    try:
        return count(node)
    except (IndexError, KeyError, AssertionError):
        return None  # an operand is missing


def _fused_attention(node: ir.Node) -> tuple[Term, ...]:
    """Onnxruntime's Attention: one product makes queries, keys and values of x."""
    x = operand(node, 0)
    product = (Lengths(x, 0, 2), Lengths(operand(node, 1)))
    return (product, *_met(node.outputs[0], node.outputs[0], [Lengths(x, 1, 2), *_cache(node, 4)]))


def _multi_head_attention(node: ir.Node) -> tuple[Term, ...]:
    """Onnxruntime's MultiHeadAttention: keys are flat (B, T, …), heads (B, N, T, …), or packed."""
    x, y = operand(node, 0), node.outputs[0]
    packed = len(node.inputs) < 2 or node.inputs[1] is None
    if packed or len(node.inputs) < 3 or node.inputs[2] is None:
        return _met(y, y, [Lengths(x if packed else operand(node, 1), 1, 2), *_cache(node, 6)])
    return _met(x, y, [Lengths(operand(node, 1), -2, -1), *_cache(node, 6)])


def _group_query_attention(node: ir.Node) -> tuple[Term, ...]:
    """Onnxruntime's GroupQueryAttention: all keys count, also those that a query does not see."""
    y = node.outputs[0]
    return _met(y, y, [Lengths(operand(node, 0), 1, 2), *_cache(node, 3)])


def _cache(node: ir.Node, index: int) -> list[Lengths]:
    """The keys of a cache, an input whose last axes are they and channels, if it has one."""
    past = node.inputs[index] if len(node.inputs) > index else None
    return [] if past is None else [Lengths(past, -2, -1)]


def _met(queries: ir.Value, y: ir.Value, keys: list[Lengths]) -> tuple[Term, ...]:
    """Each query meets each key, and each key's value."""
    return tuple((Lengths(each), length) for length in keys for each in (queries, y))


def _attention(node: ir.Node) -> tuple[Term, ...]:
    """Each query meets each key, and each key's value; those of a cache too."""
    keys = [Lengths(operand(node, 1), -2, -1), *_cache(node, 4)]
    return _met(operand(node, 0), node.outputs[0], keys)


# Of operators that are counted, and not treated.
_UNTREATED: dict[tuple[str, str], Callable[[ir.Node], tuple[Term, ...] | None]] = {
    ("", "Attention"): _attention,
    (MICROSOFT, "Attention"): _fused_attention,
    (MICROSOFT, "FusedMatMulActivation"): of_matmul,
    (MICROSOFT, "GemmFastGelu"): of_matmul,
    (MICROSOFT, "GroupQueryAttention"): _group_query_attention,
    (MICROSOFT, "MultiHeadAttention"): _multi_head_attention,
    (MICROSOFT, "NhwcConv"): of_conv,
    (MICROSOFT, "NhwcFusedConv"): of_conv,
    (MICROSOFT, "TransposeMatMul"): of_matmul,
    (f"{MICROSOFT}.nchwc", "Conv"): of_conv,
}
