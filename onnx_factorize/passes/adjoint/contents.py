"""Contents of the small integer tensors that shapes are computed with."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.facts import Dim, Facts


def contents(node: ir.Node, facts: Facts) -> tuple[Dim, ...] | None:
    """Follow the small integer tensors that shapes are computed with."""
    value = node.inputs[0] if node.inputs else None
    if node.op_type == "Shape" and value is not None:
        start, end = integer(node, "start", 0), node.attributes.get("end")
        dims = facts.dims.get(value)
        return None if dims is None else dims[start : end.as_int() if end else None]
    if node.op_type == "Concat":
        parts = [facts.ints.get(part) if part is not None else None for part in node.inputs]
        present = [part for part in parts if part is not None]
        return sum(present, ()) if len(present) == len(parts) else None
    if value is None or value not in facts.ints:
        return None
    items = facts.ints[value]
    if node.op_type in ("Cast", "Squeeze", "Unsqueeze", "Reshape", "Identity"):
        return items
    if node.op_type == "Gather" and facts.rank_or_none(value) == 1:
        picks = facts.ints.get(node.inputs[1]) if node.inputs[1] is not None else None
        if picks is not None and all(isinstance(i, int) for i in picks):
            return tuple(items[i] for i in picks if isinstance(i, int))
    if node.op_type == "Slice" and "starts" in node.attributes:
        return items[slice(integers(node, "starts", ())[0], integers(node, "ends", ())[0])]
    if node.op_type == "Slice":
        inputs = (*node.inputs[1:3], *node.inputs[4:])
        bounds = [facts.ints.get(v) if v is not None else None for v in inputs]
        edges = [b[0] for b in bounds if b is not None and isinstance(b[0], int)]
        if len(edges) == len(bounds):
            return items[slice(*edges)]
    return None


def integer(node: ir.Node, name: str, default: int) -> int:
    """Return an integer attribute."""
    attr = node.attributes.get(name)
    return attr.as_int() if attr is not None else default


def integers(node: ir.Node, name: str, default: Sequence[int]) -> Sequence[int]:
    """Return a list attribute."""
    attr = node.attributes.get(name)
    return attr.as_ints() if attr is not None else default
