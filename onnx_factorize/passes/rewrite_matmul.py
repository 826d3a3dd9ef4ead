"""MatMul with a constant matrix becomes two MatMuls."""

from __future__ import annotations

import onnx_ir as ir

from ._attributes import bias_after
from .factors import Factors
from .rewrite import Array, Rewrite
from .target import Target

__all__ = ["RewriteMatMul"]


class RewriteMatMul(Rewrite):
    """`x @ W` becomes `(x @ down) @ up`, for `x` of any rank.

    The bias correction goes into the Add that follows, if there is one (see `FindTargets`).
    """

    op_type = "MatMul"

    def pair(self, target: Target, factors: Factors) -> None:
        """Two MatMuls."""
        down = self._weight(target, "down", factors.down[0])
        up = self._weight(target, "up", factors.up[0])
        self._correct(target, factors.bias_shift)
        narrow = self._insert_before(target, "MatMul", [target.x, down], [])
        target.node.replace_input_with(0, narrow)
        target.node.replace_input_with(1, up)

    def channels(self, target: Target, value: ir.Value, matrices: Array, suffix: str) -> ir.Value:
        """A MatMul."""
        weight = self._weight(target, suffix, matrices[0])
        return self._insert_before(target, "MatMul", [value, weight], [])

    def finish(self, target: Target, value: ir.Value, matrices: Array, shift: Array | None) -> None:
        """The node reads another value, and another weight."""
        self._correct(target, shift)
        target.node.replace_input_with(0, value)
        target.node.replace_input_with(1, self._weight(target, "up", matrices[0]))

    def _correct(self, target: Target, shift: Array | None) -> None:
        if shift is None:
            return
        add = bias_after(self._model, target.node, target.columns)
        assert add is not None
        index = 1 if add.inputs[0] is target.node.outputs[0] else 0
        bias = add.inputs[index]
        assert bias is not None
        add.replace_input_with(index, self._shifted(bias, shift))
