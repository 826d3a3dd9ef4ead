"""Gemm with a constant matrix becomes two Gemms."""

from __future__ import annotations

import numpy as np

from ..graph import opset
from .rewrite import Rewrite
from .target import Factors, Target

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
    form = "two Gemms"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        node = target.node
        turned = target.weight_is_transposed
        first, second = factors.first[0], factors.second[0]
        down = self._weight(target, "down", first.T if turned else first)
        up = self._weight(target, "up", second.T if turned else second)
        inputs = [target.x, down]
        if turned or opset(self._model) < _C_OPTIONAL_SINCE:
            zeros = np.zeros(factors.rank if turned else 1)
            inputs.append(self._weight(target, "zero", zeros))
        kept = [name for name in ("transA", "transB") if node.attributes.get_int(name, 0)]
        attributes = [node.attributes[name] for name in kept]
        node.replace_input_with(0, self._insert_before(target, "Gemm", inputs, attributes))
        node.replace_input_with(1, up)
        for name in ("alpha", "transA"):
            node.attributes.pop(name, None)
        if factors.bias_shift is not None:
            # A beta may stand there without a C, and must not scale the new one.
            beta = node.attributes.pop("beta", None)
            scale = beta.as_float() if beta is not None else 1.0
            self._correct_own_bias(target, factors.bias_shift, scale)
