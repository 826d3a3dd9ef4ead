"""The nodes that stood for an operator, and those that stand for it now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from ..graph import scopes
from ..passes.linear.provenance import origin_name
from .report import Layer

__all__ = ["rewritten_piece"]

# More would not be read.
_MOST = 12


def rewritten_piece(
    dense: ir.Model, compressed: ir.Model, layers: Sequence[Layer]
) -> dict[str, Any] | None:
    """The graph around the operator that lost most parameters, before and after.

    Args:
        dense: The dense model.
        compressed: What was made of it.
        layers: What became of each operator.

    Returns:
        `layer` (its name), and `before` and `after`: of each node its `op_type`, `name`, `reads`
        and `gives` (names of values) and `weights` (shapes); None where nothing was factorized.
    """
    cut = [layer for layer in layers if layer.status == "factorized"]
    for layer in sorted(cut, key=lambda each: each.params[1] - each.params[0]):
        before = [node for node in _nodes(dense) if node.name == layer.name]
        after = [node for node in _nodes(compressed) if origin_name(node) == layer.name]
        if before and 1 < len(after) <= _MOST:
            return {
                "layer": layer.name,
                "before": [_described(node) for node in before[:1]],
                "after": [_described(node) for node in after],
            }
    return None


def _nodes(model: ir.Model) -> list[ir.Node]:
    return [node for scope, _ in scopes(model.graph) for node in scope]


def _described(node: ir.Node) -> dict[str, Any]:
    constants = [v for v in node.inputs if v is not None and v.const_value is not None]
    return {
        "op_type": node.op_type,
        "name": node.name,
        "reads": [v.name for v in node.inputs if v is not None and v.const_value is None],
        "gives": [value.name for value in node.outputs],
        "weights": [
            [int(n) for n in value.const_value.shape.numpy()]
            for value in constants
            if value.const_value is not None and len(value.const_value.shape)
        ],
    }
