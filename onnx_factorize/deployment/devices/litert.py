"""LiteRT (formerly TensorFlow Lite), after conversion."""

from __future__ import annotations

from ..device import Device
from ..kinds import CONTROL_FLOW
from .registry import register

register(
    Device(
        "litert",
        "LiteRT",
        # Micro-kernels of XNNPACK compute 4, 8 or 16 channels at once (a guess at which).
        rank_multiple=16,
        identity_blocks=False,
        least_channels=32,
        dense={
            "grouped Conv": "becomes a convolution for each group, or one that no delegate takes "
            "(a guess)",
        },
        refused={
            **dict.fromkeys(CONTROL_FLOW, "keeps delegates from what it holds (a guess)"),
            "Einsum": "is no operator there: converters write it as others",
            "Gather on the last axis": "comes between transposes, for channels are last (a guess)",
        },
        open_axes="are resized at a cost, and delegates refuse tensors of open shapes: fix them",
    )
)
