"""Emission of adjoint nodes: opset differences, constants, and common sub-expressions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnx_factorize.passes.adjoint.registry import NoRuleError

if TYPE_CHECKING:
    from onnx_factorize.passes.adjoint.control_flow import Branching

Attribute = int | float | str | Sequence[int] | Sequence[float] | ir.TensorProtocol
_END = np.iinfo(np.int64).max


class Block:
    """The nodes emitted into one graph, and what has been computed there already."""

    def __init__(self, parent: Block | None = None) -> None:
        self.parent = parent
        self.owner: Branching | None = None
        self.nodes: list[ir.Node] = []
        self.known: dict[tuple[object, ...], Sequence[ir.Value]] = {}

    def recall(self, key: tuple[object, ...]) -> Sequence[ir.Value] | None:
        """Return the outputs of an equal node of this block or of one around it."""
        if key in self.known:
            return self.known[key]
        return self.parent.recall(key) if self.parent else None


class Emitter:
    """Builds nodes that are valid at the model's opset, the cheapest way that opset has.

    Nodes collect in the current `Block`; nothing is attached to the graph until the pass
    knows which of them the requested cotangents need. Constants become initializers of the main
    graph, which every subgraph sees.
    """

    def __init__(self, opset: int, prefix: str) -> None:
        self.opset = opset
        self.block = Block()
        self.initializers: list[ir.Value] = []
        self.branchings: dict[ir.Node, Branching] = {}
        self._prefix = prefix
        self._count = 0
        self._constants: dict[tuple[object, ...], ir.Value] = {}

    @contextmanager
    def inside(self, block: Block) -> Iterator[Block]:
        """Emit into ``block`` for the duration of the context."""
        outer, self.block = self.block, block
        try:
            yield block
        finally:
            self.block = outer

    def name(self) -> str:
        """Return a name that no other value or node of the model has."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    # Nodes.

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """Emit a node of the default domain with one output."""
        return self.many(op_type, inputs, 1, **attributes)[0]

    def many(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        num_outputs: int,
        **attributes: Attribute,
    ) -> Sequence[ir.Value]:
        """Emit a node, or return the outputs of an equal one emitted before."""
        key = (
            op_type,
            tuple(id(value) for value in inputs),
            num_outputs,
            tuple(sorted((k, _hashable(v)) for k, v in attributes.items())),
        )
        known = self.block.recall(key)
        if known is not None:
            return known
        node = ir.node(
            op_type,
            list(inputs),
            attributes,
            outputs=[ir.Value(name=self.name()) for _ in range(num_outputs)],
            name=self.name(),
        )
        self.block.nodes.append(node)
        self.block.known[key] = node.outputs
        return node.outputs

    def constant(self, array: npt.ArrayLike, dtype: ir.DataType) -> ir.Value:
        """Return an initializer, one for all equal constants."""
        data = np.ascontiguousarray(np.asarray(array).astype(dtype.numpy()))
        key = (dtype, np.shape(array), data.tobytes())
        if key not in self._constants:
            data = data.reshape(np.shape(array))
            name = self.name()
            value = ir.Value(
                name=name,
                shape=ir.Shape(data.shape),
                type=ir.TensorType(dtype),
                const_value=ir.Tensor(data, dtype=dtype, name=name),
            )
            self._constants[key] = value
            self.initializers.append(value)
        return self._constants[key]

    def ints(self, values: Sequence[int]) -> ir.Value:
        """Return a one-dimensional int64 constant."""
        return self.constant(np.asarray(values, np.int64), ir.DataType.INT64)

    def needs(self, opset: int, what: str) -> None:
        """Refuse if the model's opset is below ``opset``.

        Raises:
            NoRuleError: The model's opset lacks ``what``.
        """
        if self.opset < opset:
            raise NoRuleError(f"{what} needs opset {opset}, the model has {self.opset}")

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

    def cast(self, a: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Emit a conversion."""
        return self.op("Cast", a, to=int(dtype))

    def where(self, condition: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        """Emit an elementwise choice."""
        self.needs(9, "Where")
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
        """Emit a broadcast to a run-time shape."""
        self.needs(8, "Expand")
        return self.op("Expand", a, shape)

    def full(self, shape: ir.Value, value: float, dtype: ir.DataType) -> ir.Value:
        """Emit a tensor of a run-time shape filled with one value."""
        if self.opset < 9:
            return self.expand(self.constant(value, dtype), shape)
        data = ir.Tensor(np.asarray([value], dtype.numpy()), dtype=dtype)
        return self.op("ConstantOfShape", shape, value=data)

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


def _hashable(value: Attribute) -> object:
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, ir.TensorProtocol):
        return (value.dtype, tuple(value.shape), value.tobytes())
    return tuple(value)
