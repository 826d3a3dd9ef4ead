"""An embedding becomes one in a narrow table, and a product."""

from __future__ import annotations

from .factors import Factors
from .rewrite import Rewrite
from .target import Target

__all__ = ["RewriteGather"]


class RewriteGather(Rewrite):
    """`table[ids]` becomes `narrow[ids] @ up`.

    An embedding is the product of one-hot rows with the table, so its factors are those of any
    matrix; but only the rows that are looked up are ever multiplied.
    """

    op_type = "Gather"

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
