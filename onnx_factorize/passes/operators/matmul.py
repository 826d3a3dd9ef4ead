"""MatMul: with a constant matrix on the right or on the left, or a stack of them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from ...arrays import Array
from ...graph import opset
from ..linear.attributes import bias_after
from ..linear.factors import Factors
from ..linear.layer import Layer
from ..linear.marks import is_centred
from ..linear.multiplications import of_matmul
from ..linear.operator_spec import OperatorSpec, Plain, Sharing
from ..linear.registry import register
from ..linear.rewrite import Rewrite
from ..linear.site import Site, rearranged
from ..linear.target import Target
from ..linear.unfoldings import Unfolding
from ..linear.variant import Variant
from ..linear.weights import weight_tensor

__all__ = ["BatchedMatMul", "LeftMatMul", "LeftStack", "RewriteMatMul"]

_EXPAND_SINCE = 8


def _find(model: ir.Model, node: ir.Node, name: str) -> Layer | str:
    """Reads a MatMul with a 2-D constant on the right."""
    x, weight = node.inputs
    tensor = weight_tensor(model, weight)
    if isinstance(tensor, str) or x is None or weight is None:
        return str(tensor)
    rows, columns = tensor.shape.numpy()
    centred = is_centred(node) and bias_after(model, node, columns) is not None
    return Layer(name, node, x, weight, Unfolding(rows, columns), centred, np.zeros(columns))


class RewriteMatMul(Rewrite):
    """`x @ W` becomes `(x @ down) @ up`, for `x` of any rank.

    The bias correction goes into the Add that follows, if there is one (see `FindTargets`).
    """

    def pair(self, target: Target, factors: Factors) -> None:
        """Two MatMuls."""
        down = self._weight(target, "down", factors.down[0])
        up = self._weight(target, "up", factors.up[0])
        if factors.bias_shift is not None:
            self.correct(target, factors.bias_shift)
        narrow = self._insert_before(target, "MatMul", [target.x, down], [])
        target.node.replace_input_with(0, narrow)
        target.node.replace_input_with(1, up)

    def channels(
        self,
        target: Target,
        value: ir.Value,
        matrices: Array,
        suffix: str,
        bias: Array | None = None,
    ) -> ir.Value:
        """A MatMul."""
        assert bias is None
        weight = self._weight(target, suffix, matrices[0])
        return self._insert_before(target, "MatMul", [value, weight], [], suffix)

    def finish(self, target: Target, value: ir.Value, matrices: Array, shift: Array | None) -> None:
        """The node reads another value, and another weight."""
        if shift is not None:
            self.correct(target, shift)
        target.node.replace_input_with(0, value)
        target.node.replace_input_with(1, self._weight(target, "up", matrices[0]))

    def correct(self, target: Target, shift: Array) -> None:
        """Adds a shift to the bias in the Add behind the node."""
        add = bias_after(self._model, target.node, target.columns)
        assert add is not None
        index = 1 if add.inputs[0] is target.node.outputs[0] else 0
        bias = add.inputs[index]
        assert bias is not None
        add.replace_input_with(index, self._shifted(bias, shift))


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
        product = site.core(site.op("MatMul", rows, self.weight), centred=False)
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
            site.close(site.helper("Identity", site.core(product, centred=False)))
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


def _read_left(
    model: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a product whose constant is on the left."""
    if node.inputs[0] is not weight:
        return None
    if x.shape is not None and len(x.shape) == 1:
        return "its right operand is a single vector"
    if len(shape) > 2:
        return _refuse_stack(model, x, shape) or LeftStack(x, weight, shape)
    if len(shape) < 2:
        return "its weight is a single vector"
    return LeftMatMul(x, weight, shape)


def _read_stack(
    model: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a MatMul whose constant is a stack of matrices."""
    if node.inputs[1] is not weight or len(shape) == 2:
        return None
    if len(shape) < 2:
        return "its weight is a single vector"
    return _refuse_stack(model, x, shape) or BatchedMatMul(x, weight, shape)


def _refuse_stack(model: ir.Model, x: ir.Value, shape: tuple[int, ...]) -> str | None:
    """The reason why a product with a stack of constant matrices cannot be treated, or None."""
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


register(
    OperatorSpec(
        "MatMul",
        title="two MatMuls",
        weights=(1, 0),
        multiplications=of_matmul,
        plain=Plain(_find, RewriteMatMul, turn=0),
        variants=(_read_left, _read_stack),
        sharing=Sharing(1),
        quantized=frozenset({"dynamic", "static", "weights"}),
    )
)
