"""Emission of operators, in the form that the model's opset has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.nodes import Nodes

__all__ = ["Emitter"]

_END = np.iinfo(np.int64).max


class Emitter(Nodes):
    """Builds nodes that are valid at the model's opset, the cheapest way that opset has."""

    # Arithmetic.

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Emit a + b."""
        return self.op("Add", a, b)

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Emit a - b."""
        return self.op("Sub", a, b)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Emit a * b."""
        return self.op("Mul", a, b)

    def div(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Emit a / b."""
        return self.op("Div", a, b)

    def neg(self, a: ir.Value) -> ir.Value:
        """Emit -a."""
        return self.op("Neg", a)

    def total(self, terms: Sequence[ir.Value]) -> ir.Value:
        """Emit the sum of values of one shape."""
        if len(terms) == 1:
            return terms[0]
        return self.add(*terms) if len(terms) == 2 else self.op("Sum", *terms)

    def matmul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Emit a matrix product."""
        return self.op("MatMul", a, b)

    def gemm(self, a: ir.Value, b: ir.Value, dtype: ir.DataType, **attributes: float) -> ir.Value:
        """Emit alpha · A' B'; an old opset wants something to add."""
        zero = [self.constant(0, dtype)] if self.opset < 11 else []
        return self.op("Gemm", a, b, *zero, **attributes)

    def negative_part(self, a: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit min(a, 0); Min does not broadcast at first."""
        if self.opset < 8:
            return self.neg(self.op("Relu", self.neg(a)))
        return self.op("Min", a, self.constant(np.float64(0), dtype))

    def sign(self, a: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit the sign, in {-1, 0, 1}."""
        if self.opset >= 9:
            return self.op("Sign", a)
        zero = self.constant(np.float64(0), dtype)
        sides = (self.op("Greater", a, zero), self.op("Less", a, zero))
        return self.sub(*(self.cast(side, dtype) for side in sides))

    def cast(self, a: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit a conversion."""
        return self.op("Cast", a, to=int(dtype))

    def where(self, condition: ir.Value, a: ir.Value, b: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit an elementwise choice of finite values."""
        if self.opset < 9:
            chosen = self.cast(condition, dtype)
            other = self.sub(self.constant(1, dtype), chosen)
            return self.add(self.mul(a, chosen), self.mul(b, other))
        return self.op("Where", condition, a, b)

    # Reductions.

    def reduce_sum(self, a: ir.Value, axes: Sequence[int], *, keepdims: bool) -> ir.Value:
        """Emit a sum over ``axes``."""
        return self._reduce("ReduceSum", a, axes, keepdims=keepdims, since=13)

    def reduce_mean(self, a: ir.Value, axes: Sequence[int], *, keepdims: bool) -> ir.Value:
        """Emit a mean over ``axes``."""
        return self._reduce("ReduceMean", a, axes, keepdims=keepdims, since=18)

    def reduce_max(self, a: ir.Value, axes: Sequence[int], *, keepdims: bool) -> ir.Value:
        """Emit a maximum over ``axes``."""
        return self._reduce("ReduceMax", a, axes, keepdims=keepdims, since=18)

    def _reduce(
        self, op_type: str, a: ir.Value, axes: Sequence[int], *, keepdims: bool, since: int
    ) -> ir.Value:
        if not axes:
            return a
        if self.opset >= since:
            return self.op(op_type, a, self.ints(axes), keepdims=int(keepdims))
        return self.op(op_type, a, axes=list(axes), keepdims=int(keepdims))

    # Shapes and movement.

    def shape(self, a: ir.Value) -> ir.Value:
        """Emit a value's run-time shape."""
        return self.op("Shape", a)

    def reshape(self, a: ir.Value, shape: ir.Value | Sequence[int]) -> ir.Value:
        """Emit a reshape (0 copies a dimension, -1 is inferred)."""
        return self.op("Reshape", a, shape if isinstance(shape, ir.Value) else self.ints(shape))

    def transpose(self, a: ir.Value, perm: Sequence[int]) -> ir.Value:
        """Emit a transposition, composed with the one that made ``a``, if any."""
        producer = a.producer()
        if producer is not None and producer.op_type == "Transpose" and not producer.domain:
            source, inner = producer.inputs[0], producer.attributes.get("perm")
            if source is not None and inner is not None:
                first = inner.as_ints()
                return self.transpose(source, [first[p] for p in perm])
        if list(perm) == list(range(len(perm))):
            return a
        return self.op("Transpose", a, perm=list(perm))

    def squeeze(self, a: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Emit the removal of axes of size one."""
        return self._axes("Squeeze", a, axes)

    def unsqueeze(self, a: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Emit the insertion of axes of size one."""
        return self._axes("Unsqueeze", a, axes)

    def _axes(self, op_type: str, a: ir.Value, axes: Sequence[int]) -> ir.Value:
        if not axes:
            return a
        if self.opset >= 13:
            return self.op(op_type, a, self.ints(axes))
        return self.op(op_type, a, axes=list(axes))

    def slice(
        self,
        a: ir.Value,
        starts: Sequence[int] | ir.Value,
        ends: Sequence[int] | ir.Value,
        axes: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> ir.Value:
        """Emit a slice; bounds may be run-time values from opset 10 on."""
        if self.opset < 10:
            if isinstance(starts, ir.Value) or isinstance(ends, ir.Value) or steps is not None:
                raise NoRuleError("a slice with steps or run-time bounds needs opset 10")
            return self.op("Slice", a, starts=list(starts), ends=list(ends), axes=list(axes))
        first, last = (v if isinstance(v, ir.Value) else self.ints(v) for v in (starts, ends))
        if steps is None:
            return self.op("Slice", a, first, last, self.ints(axes))
        return self.op("Slice", a, first, last, self.ints(axes), self.ints(steps))

    def flip(self, a: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Emit the reversal of axes."""
        if not axes:
            return a
        return self.slice(a, [-1] * len(axes), [-_END] * len(axes), axes, [-1] * len(axes))

    def concat(self, parts: Sequence[ir.Value], axis: int) -> ir.Value:
        """Emit a concatenation."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def dim(self, a: ir.Value, axis: int) -> ir.Value:
        """Emit one dimension of a value, as a vector of one element."""
        return self.op("Gather", self.shape(a), self.ints([axis]), axis=0)

    def expand(self, a: ir.Value, shape: ir.Value) -> ir.Value:
        """Emit a broadcast to a run-time shape, of as many axes as ``a`` has."""
        if self.opset < 8:
            return self.op("Tile", a, self.div(shape, self.shape(a)))
        return self.op("Expand", a, shape)

    def full(self, shape: ir.Value, value: float, dtype: ir.DataType) -> ir.Value:
        """Emit a tensor of a run-time shape filled with one value."""
        if self.opset < 8:
            count = self.op("ReduceProd", shape, keepdims=1)
            return self.reshape(self.op("Tile", self.constant([value], dtype), count), shape)
        if self.opset < 9:
            return self.op("Expand", self.constant(value, dtype), shape)
        data = ir.Tensor(np.asarray([value], dtype.numpy()), dtype=dtype)
        return self.op("ConstantOfShape", shape, value=data)

    def zeros_like(self, a: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit zeros in a value's shape, whatever its numbers are."""
        return self.cast(self.op("Greater", a, a), dtype)

    def pad(self, a: ir.Value, pads: Sequence[int] | ir.Value) -> ir.Value:
        """Emit zero padding (negative amounts crop)."""
        if self.opset < 11:
            if isinstance(pads, ir.Value):
                raise NoRuleError("run-time padding needs opset 11")
            return self.op("Pad", a, pads=list(pads))
        return self.op("Pad", a, pads if isinstance(pads, ir.Value) else self.ints(pads))

    def split(self, a: ir.Value, sizes: Sequence[int], axis: int) -> Sequence[ir.Value]:
        """Emit a split into parts of static sizes."""
        if self.opset < 13:
            return self.many("Split", [a], len(sizes), axis=axis, split=list(sizes))
        return self.many("Split", [a, self.ints(sizes)], len(sizes), axis=axis)
