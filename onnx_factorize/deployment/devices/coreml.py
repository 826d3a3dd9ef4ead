"""Core ML, with the Neural Engine of Apple's devices in view."""

from __future__ import annotations

from ..device import Device
from ..kinds import CONTROL_FLOW
from .registry import register

register(
    Device(
        "coreml",
        "Core ML",
        # The last axis is padded to 64 bytes: 32 numbers of float16.
        rank_multiple=32,
        # Square kernels and pointwise ones; k x 1 and 1 x k are not known to be as fast (a guess).
        forms=("channel", "input", "tucker"),
        identity_blocks=False,
        least_channels=64,
        dense={"grouped Conv": "has few channels a group (a guess)"},
        refused={
            **dict.fromkeys(CONTROL_FLOW, "leaves the rest of the model in pieces"),
            "3-D Conv": "is not supported: 1-D and 2-D are",
            "Einsum": "is not among what its execution provider takes",
        },
        open_axes="are slow or not taken: fix them where you can",
    )
)
