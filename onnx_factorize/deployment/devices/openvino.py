"""OpenVINO on processors and GPUs of Intel."""

from __future__ import annotations

from ..device import Device
from .registry import register

register(
    Device(
        "openvino",
        "OpenVINO",
        # Blocked layouts hold 8 or 16 channels, the last block padded.
        rank_multiple=16,
        refused={
            "Bernoulli": "is not supported",
            "DeformConv": "is not supported",
            "Det": "is not supported",
        },
        # Of onnxruntime's own operators it reads many.
        domains=("com.microsoft",),
    )
)
