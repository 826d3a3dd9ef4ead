"""MatMul with a stack of constant matrices on the right."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from ..graph import opset
from ._site import Site, rearranged
from ._variant import Variant
from .factors import Factors

__all__ = ["BatchedMatMul", "read", "refuse_stack"]

_EXPAND_SINCE = 8


@dataclasses.dataclass
class BatchedMatMul(Variant):
    """`x @ W` with W of shape (batch…, K, N): one product for each matrix, as many as groups.

    Matrices of the stack meet those of x along the same axes, or all rows of x where it has no
    such axes. Leading axes of length one are only axes.
    """

    shape: tuple[int, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes a pointwise Conv with a group for each matrix; a MatMul where there is one."""
        *batch, k, n = self.shape
        ones = [1] * len(self.shape)
        if math.prod(batch) == 1:
            x = site.helper("Expand", self.x, site.integers(ones))
            rearranged(self.weight, lambda w: w.reshape(k, n), (k, n))
            product = site.op("MatMul", x, self.weight)
            site.close(site.helper("Identity", site.core(product, uncentred=True)))
            return
        groups = math.prod(batch)
        x = site.helper("Expand", self.x, site.integers([*batch, 1, 1]))
        rows = site.lengths(x, -2, -1)
        stacked = site.reshape(x, [-1, groups], rows, [k])
        turned = site.helper("Transpose", stacked, perm=[0, 1, 3, 2])
        channels = site.reshape(turned, [-1, groups * k], rows)
        product = site.grouped(
            channels,
            self.weight,
            lambda w: w.reshape(groups, k, n).transpose(0, 2, 1),
            (groups, n, k),
        )
        split = site.reshape(product, [-1, groups, n], rows)
        back = site.helper("Transpose", split, perm=[0, 1, 3, 2])
        site.close(site.reshape(back, site.lengths(x, 0, -1), [n]))

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes `(x @ down) @ up` with stacks of factors."""
        *batch, k, n = self.shape
        narrow = factors.down.reshape(*batch, k, factors.rank)
        wide = factors.up.reshape(*batch, factors.rank, n)
        down = site.factor(self.weight, "down", narrow)
        up = site.factor(self.weight, "up", wide)
        site.node.replace_input_with(0, site.op("MatMul", self.x, down, suffix=".down"))
        site.node.replace_input_with(1, up)


def read(
    model: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a MatMul whose constant is a stack of matrices."""
    if node.inputs[1] is not weight or len(shape) == 2:
        return None
    if len(shape) < 2:
        return "its weight is a single vector"
    return refuse_stack(model, x, shape) or BatchedMatMul(x, weight, shape)


def refuse_stack(model: ir.Model, x: ir.Value, shape: tuple[int, ...]) -> str | None:
    """Why a product with a stack of constant matrices cannot be treated, or None if it can."""
    if opset(model) < _EXPAND_SINCE:
        return "its weight is a stack of matrices, which needs opset 8: convert the model"
    if x.shape is None:
        return "the rank of its input is not declared: run ONNX's shape inference first"
    if len(x.shape) == 1:
        return "its input is a single vector"
    inner = np.trim_zeros([length - 1 for length in shape[:-2]], "f")
    if 0 in inner:
        return "its weight is repeated along an axis between others"
    return None
