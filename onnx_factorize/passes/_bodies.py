"""Bodies of Loop and Scan: which can be observed, and how their values leave them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ..graph import subgraphs

__all__ = ["ITERATED", "unobservable"]

ITERATED = ("Loop", "Scan")


def unobservable(owners: Sequence[ir.Node]) -> str | None:
    """The reason why a graph's values cannot be observed, from the nodes that enclose it, or None.

    What an iteration computes leaves its body stacked, which needs the same shape each time.
    """
    iterated = False
    for owner in owners:
        if owner.domain != "" or owner.op_type not in ("If", *ITERATED):
            return f"stands in the body of a {owner.op_type}"
        if owner.op_type == "If" and iterated:
            return "stands in a branch of an If in a body that is run several times"
        iterated = iterated or owner.op_type in ITERATED
        if owner.op_type == "Loop" and not _keeps_shapes(owner):
            return "stands in the body of a Loop whose values may change their shapes"
        if owner.op_type == "Scan" and "num_scan_inputs" not in owner.attributes:
            return "stands in the body of a Scan of opset 8: convert the model to a newer opset"
    return None


def _keeps_shapes(loop: ir.Node) -> bool:
    """Tells whether every value that a Loop carries is declared to keep its shape."""
    for body in subgraphs(loop):
        for given, back in zip(body.inputs[2:], body.outputs[1:], strict=False):
            if given.shape is None or back.shape is None:
                return False
            dims = list(zip(given.shape, back.shape, strict=False))
            if len(given.shape) != len(back.shape) or any(a != b for a, b in dims):
                return False
            if any(isinstance(a, ir.SymbolicDim) and a.value is None for a, _ in dims):
                return False
    return True
