"""MatMul and Gemm whose constant operand is the left one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from ..graph import opset
from ._site import Site, rearranged
from ._variant import Variant
from .batched_product import refuse_stack
from .factors import Factors

__all__ = ["LeftGemm", "LeftMatMul", "LeftStack", "read"]

_C_OPTIONAL_SINCE = 11


@dataclasses.dataclass
class LeftMatMul(Variant):
    """`W @ x` with a matrix W of M x K and x of shape (…, K, columns): its rows are x's columns."""

    shape: tuple[int, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes `(xᵀ @ Wᵀ)ᵀ`, through three axes, so that nothing need be known of x's."""
        m, k = self.shape
        last = site.lengths(self.x, -1)
        flat = site.reshape(self.x, [-1, k], last)
        rows = site.helper("Transpose", flat, perm=[0, 2, 1])
        rearranged(self.weight, np.transpose, (k, m))
        product = site.core(site.op("MatMul", rows, self.weight), uncentred=True)
        back = site.helper("Transpose", product, perm=[0, 2, 1])
        site.close(site.reshape(back, site.lengths(self.x, 0, -2), [m], last))

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes `up @ (down @ x)` with matrices or stacks of them."""
        *batch, m, k = self.shape
        narrow = factors.down.transpose(0, 2, 1).reshape(*batch, factors.rank, k)
        wide = factors.up.transpose(0, 2, 1).reshape(*batch, m, factors.rank)
        down = site.factor(self.weight, "down", narrow)
        up = site.factor(self.weight, "up", wide)
        site.node.replace_input_with(1, site.op("MatMul", down, self.x, suffix=".down"))
        site.node.replace_input_with(0, up)


@dataclasses.dataclass
class LeftStack(LeftMatMul):
    """`W @ x` with W of shape (batch…, M, K): one product for each matrix."""

    def canonicalize(self, site: Site) -> None:
        """Becomes a pointwise Conv with a group for each matrix: x's columns are its positions."""
        *batch, m, k = self.shape
        groups = math.prod(batch)
        x = site.helper("Expand", self.x, site.integers([*batch, 1, 1]))
        last = site.lengths(x, -1)
        channels = site.reshape(x, [-1, groups * k], last)
        product = site.grouped(
            channels, self.weight, lambda w: w.reshape(groups, m, k), (groups, m, k)
        )
        site.close(site.reshape(product, site.lengths(x, 0, -2), [m], last))


@dataclasses.dataclass
class LeftGemm(Variant):
    """`alpha * op(W) @ op(x) + beta * C`."""

    shape: tuple[int, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes `(alpha * op(x)ᵀ @ op(W)ᵀ)ᵀ + beta * C`."""
        node = site.node
        attributes = node.attributes
        x = self.x
        if not attributes.get_int("transB", 0):
            x = site.helper("Transpose", x, perm=[1, 0])
        inputs = [x, self.weight]
        if opset(site.model) < _C_OPTIONAL_SINCE:
            inputs.append(site.initializer(self.weight, f"{self.weight.name}.zero", np.zeros(1)))
        product = site.op(
            "Gemm",
            *inputs,
            transB=1 - attributes.get_int("transA", 0),
            alpha=attributes.get_float("alpha", 1.0),
        )
        y = site.helper("Transpose", site.core(product, uncentred=True), perm=[1, 0])
        c = node.inputs[2] if len(node.inputs) > 2 else None
        if c is not None:
            beta = np.array([attributes.get_float("beta", 1.0)])
            scale = site.initializer(self.weight, f"{self.weight.name}.beta", beta)
            y = site.helper("Add", y, site.helper("Mul", c, scale))
        site.close(y)

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes `up @ (down @ op(x)) + beta * C`."""
        node = site.node
        down = site.factor(self.weight, "down", factors.down[0].T)
        up = site.factor(self.weight, "up", factors.up[0].T)
        inputs = [down, self.x]
        if opset(site.model) < _C_OPTIONAL_SINCE:
            inputs.append(site.factor(self.weight, "zero", np.zeros(1)))
        turned = node.attributes.get_int("transB", 0)
        node.replace_input_with(1, site.op("Gemm", *inputs, suffix=".down", transB=turned))
        node.replace_input_with(0, up)
        for name in ("alpha", "transA", "transB"):
            node.attributes.pop(name, None)


def read(
    model: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a product whose constant is on the left."""
    if node.inputs[0] is not weight:
        return None
    if node.op_type == "Gemm":
        return LeftGemm(x, weight, shape)
    if x.shape is not None and len(x.shape) == 1:
        return "its right operand is a single vector"
    if len(shape) > 2:
        return refuse_stack(model, x, shape) or LeftStack(x, weight, shape)
    if len(shape) < 2:
        return "its weight is a single vector"
    return LeftMatMul(x, weight, shape)
