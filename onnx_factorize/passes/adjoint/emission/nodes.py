"""Nodes of the adjoint: where they collect, constants, and common sub-expressions."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from onnx_factorize.graph import new_constant
from onnx_factorize.graph.builder import Attribute, emit_many
from onnx_factorize.passes.adjoint.emission.blocks import Block, Branching
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError


class Nodes:
    """Collects nodes in the current `Block`, each once.

    Nothing is attached to the graph until the pass knows which of them the requested cotangents
    need. Constants become initializers of the main graph, which every subgraph sees.
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
        """Emit a node, or return the outputs of an equal one emitted before.

        Raises:
            NoRuleError: The model's opset has no such operator, or not in this form.
        """
        key = (
            op_type,
            tuple(id(value) for value in inputs),
            num_outputs,
            tuple(sorted((k, _hashable(v)) for k, v in attributes.items())),
        )
        known = self.block.recall(key)
        if known is not None:
            return known
        if not _valid(op_type, self.opset, len(inputs), num_outputs, frozenset(attributes)):
            raise NoRuleError(f"its gradient needs a newer {op_type} than opset {self.opset} has")
        self.block.known[key] = outputs = self.fresh(op_type, inputs, attributes, num_outputs)
        return outputs

    def fresh(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Attribute] | None = None,
        num_outputs: int = 1,
    ) -> Sequence[ir.Value]:
        """Emit a node, whatever was emitted before."""
        return emit_many(
            self.block.nodes.append,
            op_type,
            inputs,
            attributes,
            outputs=[self.name() for _ in range(num_outputs)],
            name=self.name(),
        )

    def copy(self, value: ir.Value) -> ir.Value:
        """Emit a value of its own that equals another."""
        return self.fresh("Identity", [value])[0]

    def constant(self, array: npt.ArrayLike, dtype: ir.DataType) -> ir.Value:
        """Return an initializer, one for all equal constants."""
        data = np.ascontiguousarray(np.asarray(array).astype(dtype.numpy()))
        key = (dtype, np.shape(array), data.tobytes())
        if key not in self._constants:
            data = data.reshape(np.shape(array))
            value = new_constant(self.name(), data, dtype)
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


@functools.cache
def _valid(op_type: str, opset: int, inputs: int, outputs: int, attributes: frozenset[str]) -> bool:
    """Tell whether an opset has an operator of so many inputs and outputs, and its attributes."""
    try:
        schema = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return False
    counts = (
        schema.min_input <= inputs <= schema.max_input
        and schema.min_output <= outputs <= schema.max_output
    )
    return counts and attributes <= set(schema.attributes)


def _hashable(value: Attribute) -> object:
    if isinstance(value, (int, float, str, ir.Attr)):
        return value
    if isinstance(value, ir.TensorProtocol):
        return (value.dtype, tuple(value.shape), value.tobytes())
    return tuple(value)
