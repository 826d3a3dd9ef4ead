"""The inputs of a node that hold linear weights; operators that are listed, and not treated."""

from __future__ import annotations

import onnx_ir as ir

from .marks import rest_of
from .operator_spec import MICROSOFT
from .registry import spec_of

__all__ = [
    "QUANTIZED",
    "RUNTIME_FUSED",
    "UNTREATED",
    "is_hidden",
    "is_linear",
    "untreated_reason",
    "weight_inputs",
]

# Standard operators whose weights no form treats: listed, so that none is passed over in silence.
UNTREATED = {
    "DeformConv": ((1,), "deformable convolutions are not factorized"),
}

_QUANTIZED = "is quantized: factorize before quantizing"

# Quantized operators, in whatever domain, and the inputs that hold their weights.
QUANTIZED = {
    "ConvInteger": (1,),
    "DynamicQuantizeLSTM": (1, 2),
    "DynamicQuantizeMatMul": (1,),
    "GatherBlockQuantized": (0,),
    "MatMulBnb4": (1,),
    "MatMulFpQ4": (1,),
    "MatMulInteger": (1,),
    "MatMulInteger16": (1,),
    "MatMulIntegerToFloat": (1,),
    "MatMulNBits": (1,),
    "QAttention": (1,),
    "QEmbedLayerNormalization": (2, 3, 4),
    "QGemm": (3,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
    "QMoE": (2, 5, 8),
    "QOrderedMatMul": (2,),
}

# What onnxruntime's optimizer, or its transformer tools, make of linear operators.
RUNTIME_FUSED = {
    "Attention": (1,),
    "DecoderAttention": (3, 4),
    "DecoderMaskedSelfAttention": (1,),
    "EmbedLayerNormalization": (2, 3, 4),
    "FusedMatMulActivation": (1, 0),
    "GemmFastGelu": (1,),
    "GemmFloat8": (1,),
    "LongformerAttention": (1,),
    "MoE": (2, 4, 6),
    "NhwcConv": (1,),
    "NhwcFusedConv": (1,),
    "PackedAttention": (1,),
    "TransposeMatMul": (1, 0),
}


def weight_inputs(node: ir.Node) -> tuple[int, ...]:
    """The inputs of a node that may hold linear weights; none where it is not linear."""
    if len(node.inputs) < 2:  # an Einsum of one operand, say, only moves it
        return ()
    rest = rest_of(node)
    if rest is not None:
        return rest.inputs
    spec = spec_of(node)
    if spec is not None:
        return (*spec.weights, *spec.kept)
    if node.domain == "" and node.op_type in UNTREATED:
        return UNTREATED[node.op_type][0]
    if node.op_type in QUANTIZED and node.domain in ("", MICROSOFT):
        return QUANTIZED[node.op_type]
    if node.op_type in RUNTIME_FUSED and node.domain == MICROSOFT:
        return RUNTIME_FUSED[node.op_type]
    return ()


def is_linear(node: ir.Node) -> bool:
    """Tells whether a node multiplies by what may be a constant matrix."""
    return bool(weight_inputs(node))


def is_hidden(node: ir.Node) -> bool:
    """Tells whether a linear operator hides its weights: an optimizer or a quantizer made it."""
    return (
        untreated_reason(node) is not None
        and rest_of(node) is None
        and (node.domain == MICROSOFT or node.op_type in QUANTIZED)
    )


def untreated_reason(node: ir.Node) -> str | None:
    """The reason why an operator is not factorized whatever its weights are; None if it may be."""
    rest = rest_of(node)
    if rest is not None:
        return rest.reason
    if spec_of(node) is not None:
        return None
    if node.op_type in QUANTIZED:
        return _QUANTIZED
    if node.domain == MICROSOFT:
        return (
            f"{node.op_type} was made by onnxruntime's optimizer: factorize the model as it was "
            "exported, and optimize the result"
        )
    return f"{UNTREATED[node.op_type][1]} ({node.op_type})"
