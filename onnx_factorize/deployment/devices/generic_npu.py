"""A neural processor of which nothing is known: what most of them want, all of it guessed."""

from __future__ import annotations

from ..device import Device
from ..kinds import CONTROL_FLOW
from .registry import register

register(
    Device(
        "generic-npu",
        "a neural processor",
        rank_multiple=32,
        forms=("channel",),
        identity_blocks=False,
        least_channels=64,
        dense={
            "grouped Conv": "has few channels a group",
            "ConvTranspose": "is often emulated",
            "Einsum": "is often not supported",
            "Gather": "runs on the host: one table is less to copy than two operators",
        },
        refused={
            **dict.fromkeys(CONTROL_FLOW, "is rarely supported"),
            "Einsum": "is often not supported",
            "Gather on the last axis": "is often slow or not supported",
            "3-D Conv": "is often not supported",
            **dict.fromkeys(("LSTM", "GRU", "RNN"), "is often not supported"),
        },
        newest=17,
        open_axes="are rarely supported: fix them",
    )
)
