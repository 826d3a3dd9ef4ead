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
    x, y = operand(node, 0), Lengths(node.outputs[0])
    keys = Lengths(x, 1, 2)
    return ((Lengths(x, 0, 2), Lengths(operand(node, 1))), (y, keys), (y, keys))


def _attention(node: ir.Node) -> tuple[Term, ...]:
    """Each query meets each key, and each key's value; those of a cache too."""
    queries, y = Lengths(operand(node, 0)), Lengths(node.outputs[0])
    keys = [Lengths(operand(node, 1), -2, -1)]
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        keys.append(Lengths(node.inputs[4], -2, -1))
    return tuple((each, length) for length in keys for each in (queries, y))


# Of operators that are counted, and not treated.
_UNTREATED: dict[tuple[str, str], Callable[[ir.Node], tuple[Term, ...] | None]] = {
    ("", "Attention"): _attention,
    (MICROSOFT, "Attention"): _fused_attention,
    (MICROSOFT, "FusedMatMulActivation"): of_matmul,
    (MICROSOFT, "GemmFastGelu"): of_matmul,
    (MICROSOFT, "NhwcConv"): of_conv,
    (MICROSOFT, "NhwcFusedConv"): of_conv,
    (MICROSOFT, "TransposeMatMul"): of_matmul,
    (f"{MICROSOFT}.nchwc", "Conv"): of_conv,
}
