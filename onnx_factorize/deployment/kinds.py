"""Kinds of nodes, as the rules of devices call them."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["CONTROL_FLOW", "kinds_of"]

# Operators that hold graphs of their own.
CONTROL_FLOW = ("If", "Loop", "Scan")

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def kinds_of(node: ir.Node) -> list[str]:
    """The kinds of a node, the most special one first.

    They are its operator (with the domain in front, unless that is the standard one), and
    `Gather on the last axis`, `grouped Conv` and `3-D Conv` (also of ConvTranspose) where it is
    such; of a depthwise convolution there are others, and it is not called grouped.
    """
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    kinds = [f"{domain}{node.op_type}"]
    if domain:
        return kinds
    if node.op_type == "Gather" and _on_last_axis(node):
        kinds.insert(0, "Gather on the last axis")
    if node.op_type in _CONVOLUTIONS:
        shape = _shape(node, 1)
        if shape is not None and len(shape) > 4:
            kinds.insert(0, f"3-D {node.op_type}")
        groups = node.attributes.get_int("group", 1)
        of_one = shape is not None and shape[1 if node.op_type == "Conv" else 0] in (1, groups)
        if groups > 1 and not of_one:
            kinds.insert(0, f"grouped {node.op_type}")
    return kinds


def _on_last_axis(node: ir.Node) -> bool:
    axis, shape = node.attributes.get_int("axis", 0), _shape(node, 0)
    return axis == -1 or (shape is not None and axis == len(shape) - 1 and axis > 0)


def _shape(node: ir.Node, index: int) -> list[int | None] | None:
    """The shape of an input; None where not even its number of axes is known."""
    value = node.inputs[index] if len(node.inputs) > index else None
    shape = None if value is None else value.shape
    return None if shape is None else [d if isinstance(d, int) else None for d in shape]
