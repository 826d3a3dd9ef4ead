"""TensorRT on GPUs of NVIDIA."""

from __future__ import annotations

from ..device import Device
from .registry import register

_SHAPES = "has shapes of its own for each input, and no kernel of TensorRT"

register(
    Device(
        "tensorrt",
        "TensorRT",
        # 16 bytes of memory hold 8 numbers of float16, 16 of int8: sizes of Tensor Cores.
        rank_multiple=16,
        least_channels=32,
        dense={
            "grouped Conv": "has few channels a group, which fill no Tensor Core (a guess)",
            "3-D Conv": "is not known to gain there (a guess)",
        },
        refused={
            "DynamicQuantizeLinear": "is not supported: quantize statically (QDQ)",
            "MatMulInteger": "is not supported: quantize statically (QDQ)",
            "ConvInteger": "is not supported: quantize statically (QDQ)",
            "NonZero": _SHAPES,
            "SequenceConstruct": "is not supported",
            "SplitToSequence": "is not supported",
        },
        oldest=9,
        newest=25,
        open_axes="need an optimization profile (trtexec --minShapes, --optShapes, --maxShapes)",
    )
)
