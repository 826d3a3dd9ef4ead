"""Which linear operators are variants of the plain ones, and of which kind."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from . import batched_product, conv_transpose, einsum, fused, left_product, recurrent
from ._operators import TREATED
from ._variant import Variant
from ._weights import COMPUTED, Origin, origin_of

__all__ = ["variant_of"]

_RECURRENT = ("GRU", "LSTM", "RNN")

# From the model, the node, its computed operand, its weight and the weight's shape to the variant,
# the reason why it is no target, or None where the operator is plain.
_Reader = Callable[[ir.Model, ir.Node, ir.Value, ir.Value, tuple[int, ...]], Variant | str | None]

_READERS: dict[str, tuple[_Reader, ...]] = {
    "ConvTranspose": (conv_transpose.read,),
    "Einsum": (einsum.read,),
    "FusedConv": (fused.read_layer,),
    "FusedGemm": (fused.read_layer,),
    "FusedMatMul": (fused.read_matmul,),
    "GRU": (recurrent.read,),
    "Gemm": (left_product.read,),
    "LSTM": (recurrent.read,),
    "MatMul": (left_product.read, batched_product.read),
    "RNN": (recurrent.read,),
}


def variant_of(model: ir.Model, node: ir.Node) -> Variant | str | None:
    """The variant that a node is, the reason why it is no target, or None where it is plain."""
    if node.op_type == "Gather":
        return None
    operands = _operands(model, node)
    if isinstance(operands, str):
        return operands
    x, weight, shape = operands
    for read in _READERS.get(node.op_type, ()):
        found = read(model, node, x, weight, shape)
        if found is not None:
            return found
    return None


def _operands(model: ir.Model, node: ir.Node) -> tuple[ir.Value, ir.Value, tuple[int, ...]] | str:
    """The computed operand, the constant one and its shape, or the reason why there are no such."""
    a, b = (*node.inputs, None, None)[:2]
    if a is None or b is None:
        return "lacks an operand"
    right = origin_of(model, b)
    if isinstance(right, Origin):
        if isinstance(origin_of(model, a), Origin):
            return "both of its operands are constant: fold constants first"
        return a, b, tuple(right.read().shape.numpy())
    if len(TREATED[node.domain, node.op_type]) == 1 or node.op_type in _RECURRENT:
        return right
    left = origin_of(model, a)
    if isinstance(left, Origin):
        return b, a, tuple(left.read().shape.numpy())
    return left if right == COMPUTED and isinstance(left, str) else right
