"""WebGPU in browsers, by onnxruntime-web."""

from __future__ import annotations

from ..device import Device
from ..kinds import CONTROL_FLOW
from .registry import register

register(
    Device(
        "webgpu",
        "WebGPU (onnxruntime-web)",
        # Products whose sizes are multiples of 4 are computed in vectors.
        rank_multiple=4,
        # A node is a dispatch, and small ones cost as much as large ones (a guess).
        identity_blocks=False,
        least_channels=32,
        dense={"grouped Conv": "has a kernel of its own that is computed without tiles"},
        refused={
            **dict.fromkeys(CONTROL_FLOW, "runs on the processor, and copies what it reads"),
            **dict.fromkeys(("LSTM", "GRU", "RNN"), "has no kernel on the GPU"),
            "3-D Conv": "is not supported in all versions",
        },
        domains=("com.microsoft",),
        oldest=7,
    )
)
