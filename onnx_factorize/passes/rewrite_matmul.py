"""MatMul with a constant matrix becomes two MatMuls."""

from __future__ import annotations

from ._attributes import bias_after
from .rewrite import Rewrite
from .target import Factors, Target

__all__ = ["RewriteMatMul"]


class RewriteMatMul(Rewrite):
    """`x @ W` becomes `(x @ down) @ up`, for `x` of any rank.

    The bias correction goes into the Add that follows, if there is one (see `FindTargets`).
    """

    op_type = "MatMul"
    form = "two MatMuls"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        node = target.node
        down = self._weight(target, "down", factors.first[0])
        up = self._weight(target, "up", factors.second[0])
        if factors.bias_shift is not None:
            add = bias_after(self._model, node, target.columns)
            assert add is not None
            index = 1 if add.inputs[0] is node.outputs[0] else 0
            bias = add.inputs[index]
            assert bias is not None
            add.replace_input_with(index, self._shifted(bias, factors.bias_shift))
        node.replace_input_with(0, self._insert_before(target, "MatMul", [target.x, down], []))
        node.replace_input_with(1, up)
