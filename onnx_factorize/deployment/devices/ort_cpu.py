"""onnxruntime on processors."""

from __future__ import annotations

from ..device import Device
from .registry import register

register(
    Device(
        "ort-cpu",
        "onnxruntime on processors",
        refused={
            # 9 ns an element, where a copy takes a fraction of one.
            "Gather on the last axis": "is slow there: Split, or Slice, where indices are a range",
        },
        domains=("com.microsoft", "com.ms.internal.nhwc", "ai.onnx.ml"),
        oldest=7,
    )
)
