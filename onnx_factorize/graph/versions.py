"""The versions of operators that a model uses."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["opset"]


def opset(model: ir.Model) -> int:
    """The version of the standard operators that the model uses."""
    return model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1))
