"""Which operators hold linear weights, and in which input."""

from __future__ import annotations

import onnx_ir as ir

__all__ = [
    "QUANTIZED",
    "REST",
    "RUNTIME_FUSED",
    "TITLES",
    "UNTREATED",
    "is_linear",
    "weight_inputs",
]

MICROSOFT = "com.microsoft"

# In the meta of a recurrent operator whose input weights stand before it, as a product.
REST = "rest"

# Operators that some pass factorizes, by domain.
TREATED = {
    ("", "GRU"): (1, 2),
    ("", "LSTM"): (1, 2),
    ("", "MatMul"): (1, 0),
    ("", "RNN"): (1, 2),
    ("", "Gemm"): (1, 0),
    ("", "Conv"): (1,),
    ("", "ConvTranspose"): (1,),
    ("", "Einsum"): (1, 0),
    ("", "Gather"): (0,),
    (MICROSOFT, "FusedMatMul"): (1, 0),
    (MICROSOFT, "FusedGemm"): (1, 0),
    (MICROSOFT, "FusedConv"): (1,),
}

# The names in reports of two factors in the place of each operator, as it sees its weight itself.
TITLES = {
    "Conv": "channel",
    "ConvTranspose": "input channel",
    "Einsum": "two Einsums",
    "FusedConv": "channel",
    "FusedGemm": "two Gemms",
    "FusedMatMul": "two MatMuls",
    "GRU": "narrow input",
    "Gather": "narrow table",
    "Gemm": "two Gemms",
    "LSTM": "narrow input",
    "MatMul": "two MatMuls",
    "RNN": "narrow input",
}

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
    if REST in node.meta:
        return (2,)
    if (node.domain, node.op_type) in TREATED:
        return TREATED[node.domain, node.op_type]
    if node.domain == "" and node.op_type in UNTREATED:
        return UNTREATED[node.op_type][0]
    if node.op_type in QUANTIZED and node.domain in ("", MICROSOFT):
        return QUANTIZED[node.op_type]
    if node.op_type in RUNTIME_FUSED and node.domain == MICROSOFT:
        return RUNTIME_FUSED[node.op_type]
    return ()


def is_linear(node: ir.Node) -> bool:
    """Whether a node multiplies by what may be a constant matrix."""
    return bool(weight_inputs(node))


def is_hidden(node: ir.Node) -> bool:
    """Whether a linear operator hides its weights: an optimizer or a quantizer made it."""
    return (
        untreated_reason(node) is not None
        and REST not in node.meta
        and (node.domain == MICROSOFT or node.op_type in QUANTIZED)
    )


def untreated_reason(node: ir.Node) -> str | None:
    """Why an operator is not factorized whatever its weights are, or None if it may be."""
    if REST in node.meta:
        return (
            "its recurrent weights are multiplied inside its loop: only those of its input can go"
        )
    if (node.domain, node.op_type) in TREATED:
        return None
    if node.op_type in QUANTIZED:
        return _QUANTIZED
    if node.domain == MICROSOFT:
        return (
            f"{node.op_type} was made by onnxruntime's optimizer: factorize the model as it was "
            "exported, and optimize the result"
        )
    return f"{UNTREATED[node.op_type][1]} ({node.op_type})"
