"""Gemm with a constant matrix becomes two Gemms."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import opset
from .factors import Factors
from .rewrite import Array, Rewrite
from .target import Target

__all__ = ["RewriteGemm"]

_C_OPTIONAL_SINCE = 11


class RewriteGemm(Rewrite):
    """`alpha * op(A) @ op(B) + beta * C` becomes two Gemms.

    - The first has `transA` of the original, and neither has `alpha`, which the factors include.
    - Both have `transB` where the original has it, and their factors are stored that way: a reader
      of the original (ncnn, say, which takes a Gemm with `transB` and a row `C` for a layer, and
      any other for something else) reads these alike. So the first then has a row of zeros as `C`.
    - `C` and `beta` stay on the second; a bias correction folds `beta` into `C`.
    - Before opset 11 a Gemm must have a `C`: the first gets a zero.
    """

    op_type = "Gemm"

    def pair(self, target: Target, factors: Factors) -> None:
        """Two Gemms."""
        turned = target.layer.weight_is_transposed
        narrow, wide = factors.down[0], factors.up[0]
        down = self._weight(target, "down", narrow.T if turned else narrow)
        up = self._weight(target, "up", wide.T if turned else wide)
        value = self._gemm(target, target.x, down, factors.rank, ("transA", "transB"))
        self._become(target, value, up, factors.bias_shift)

    def channels(self, target: Target, value: ir.Value, matrices: Array, suffix: str) -> ir.Value:
        """A Gemm of a value that is not transposed."""
        turned, matrix = target.layer.weight_is_transposed, matrices[0]
        weight = self._weight(target, suffix, matrix.T if turned else matrix)
        return self._gemm(target, value, weight, matrix.shape[1], ("transB",))

    def finish(self, target: Target, value: ir.Value, matrices: Array, shift: Array | None) -> None:
        """The node reads another value, and another weight."""
        turned, matrix = target.layer.weight_is_transposed, matrices[0]
        up = self._weight(target, "up", matrix.T if turned else matrix)
        self._become(target, value, up, shift)

    def _gemm(
        self, target: Target, value: ir.Value, weight: ir.Value, width: int, kept: tuple[str, ...]
    ) -> ir.Value:
        node, turned, inputs = target.node, target.layer.weight_is_transposed, [value, weight]
        if turned or opset(self._model) < _C_OPTIONAL_SINCE:
            inputs.append(self._weight(target, "zero", np.zeros(width if turned else 1)))
        names = [name for name in kept if node.attributes.get_int(name, 0)]
        return self._insert_before(
            target, "Gemm", inputs, [node.attributes[name] for name in names]
        )

    def _become(self, target: Target, value: ir.Value, up: ir.Value, shift: Array | None) -> None:
        node = target.node
        node.replace_input_with(0, value)
        node.replace_input_with(1, up)
        for name in ("alpha", "transA"):
            node.attributes.pop(name, None)
        if shift is not None:
            # A beta may stand there without a C, and must not scale the new one.
            beta = node.attributes.pop("beta", None)
            self._correct_own_bias(target, shift, beta.as_float() if beta is not None else 1.0)
