"""Neural processors of Qualcomm (HTP), by QNN."""

from __future__ import annotations

from ..device import Device
from ..kinds import CONTROL_FLOW
from .registry import register

register(
    Device(
        "qnn",
        "QNN (HTP)",
        # Activations lie in blocks of 32 channels (a guess: no public page says so).
        rank_multiple=32,
        identity_blocks=False,
        least_channels=64,
        dense={
            "grouped Conv": "has few channels a group, which fill no block (a guess)",
            "Einsum": "is lowered case by case, and its factors may not be (a guess)",
        },
        refused={
            **dict.fromkeys(CONTROL_FLOW, "is not supported: export without control flow"),
            "NonZero": "gives a shape that depends on the data",
            "RandomNormal": "is not supported",
            "RandomUniform": "is not supported",
        },
        newest=26,
        open_axes="are not supported: fix them (onnxruntime.tools.make_dynamic_shape_fixed)",
    )
)
