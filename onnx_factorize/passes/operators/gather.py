"""Gather of rows of a table: an embedding."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ...graph import constant
from ..linear.factors import Factors
from ..linear.layer import Layer
from ..linear.operator_spec import OperatorSpec, Plain, Sharing
from ..linear.registry import register
from ..linear.rewrite import Rewrite
from ..linear.target import Target
from ..linear.unfoldings import Unfolding
from ..linear.weights import constants_behind, weight_tensor

__all__ = ["RewriteGather"]


def _find(model: ir.Model, node: ir.Node, name: str) -> Layer | str:
    """Reads a Gather of rows of a constant matrix."""
    table, indices = node.inputs[:2]
    tensor = weight_tensor(model, table)
    if isinstance(tensor, str) or table is None or indices is None:
        return str(tensor)
    if len(tensor.shape) != 2:
        return f"its table has {len(tensor.shape)} axes, and only matrices are factorized"
    if node.attributes.get_int("axis", 0) % 2:
        return "it picks columns of its table"
    if constants_behind(indices) or constant(indices) is not None:
        return "the rows that it picks are constant: fold constants first"
    rows, columns = tensor.shape.numpy()
    unfolding, bias = Unfolding(rows, columns), np.zeros(columns)
    return Layer(name, node, indices, table, unfolding, False, bias, embedding=True)


class RewriteGather(Rewrite):
    """`table[ids]` becomes `narrow[ids] @ up`.

    An embedding is the product of one-hot rows with the table, so its factors are those of any
    matrix; but only the rows that are looked up are ever multiplied.
    """

    def pair(self, target: Target, factors: Factors) -> None:
        """A Gather and a MatMul."""
        node = target.node
        narrow = self._weight(target, "down", factors.down[0])
        up = self._weight(target, "up", factors.up[0])
        attributes = list(node.attributes.values())
        rows = self._insert_before(target, "Gather", [narrow, target.x], attributes)
        node.op_type = "MatMul"
        node.attributes.clear()
        node.replace_input_with(0, rows)
        node.replace_input_with(1, up)


def _holds_table(node: ir.Node) -> bool:
    """Tells whether a Gather reads constants that may be rows of a table."""
    for value in constants_behind(node.inputs[0]):
        tensor = constant(value)
        if tensor is not None and len(tensor.shape) > 1:
            return tensor.dtype.is_floating_point() or node.inputs[0] is not value
    return False


# Rewritten before all others: what shares its table reads its factors transposed, and it as they
# are.
register(
    OperatorSpec(
        "Gather",
        title="narrow table",
        weights=(0,),
        multiplications=lambda _: None,
        plain=Plain(_find, RewriteGather, turn=-1),
        sharing=Sharing(0, alike=True),
        picks_rows=True,
        quantized=frozenset({"dynamic", "weights"}),
        is_listed=_holds_table,
    )
)
