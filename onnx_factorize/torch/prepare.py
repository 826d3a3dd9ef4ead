"""A model made ready for torch: functions inlined, element types inferred."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes

from ..graph.inline import expand
from . import operators as _operators  # noqa: F401 - fills the table
from .execution.table import OPERATORS

__all__ = ["prepared"]

# Operators that need to know an element type which a tensor of torch does not tell.
_TYPED = frozenset({"BitCast", "CastLike", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})


def prepared(model: ir.Model) -> ir.Model:
    """A copy of a model in which only operators of the table are left, where that is possible.

    The model's own functions are inlined, then those operators that only the function in their
    schema explains.
    """
    model = model.clone()
    if model.functions:
        passes.InlinePass()(model)
    expand(model, _missing)
    if any(node.op_type in _TYPED for node in model.graph.all_nodes()):
        passes.ShapeInferencePass()(model)
    return model


def _missing(node: ir.Node, opset: int) -> bool:
    """Tells whether an operator is not in the table."""
    return node.op_type != "Constant" and OPERATORS.find(node.domain, node.op_type, opset) is None
