"""Gemm with a constant matrix becomes two Gemms."""

from __future__ import annotations

import numpy as np

from ._graph import opset
from .rewrite import Rewrite
from .target import Factors, Target

__all__ = ["RewriteGemm"]

_C_OPTIONAL_SINCE = 11


class RewriteGemm(Rewrite):
    """`alpha * op(A) @ op(B) + beta * C` becomes two Gemms.

    - The first has `transA` of the original and nothing else.
    - The second has no `transB`, for the factors are stored straight, and no `alpha`, which they
      include.
    - `C` and `beta` stay on the second; a bias correction folds `beta` into `C`.
    - Before opset 11 a Gemm must have a `C`: the first gets a zero.
    """

    op_type = "Gemm"
    form = "two Gemms"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        node = target.node
        down = self._weight(target, "down", factors.first[0])
        up = self._weight(target, "up", factors.second[0])
        inputs = [target.x, down]
        if opset(self._model) < _C_OPTIONAL_SINCE:
            inputs.append(self._weight(target, "zero", np.zeros(1)))
        attributes = [node.attributes["transA"]] if target.transposed_input else []
        node.replace_input_with(0, self._insert_before(target, "Gemm", inputs, attributes))
        node.replace_input_with(1, up)
        for name in ("alpha", "transA", "transB"):
            node.attributes.pop(name, None)
        if factors.bias_shift is not None:
            # A beta may stand there without a C, and must not scale the new one.
            beta = node.attributes.pop("beta", None)
            scale = beta.as_float() if beta is not None else 1.0
            self._correct_own_bias(target, factors.bias_shift, scale)
