"""The origin of a weight: a constant, perhaps behind operators that move or convert it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import onnx_ir as ir

from ...arrays import AnyArray
from ...graph import constant
from .sharing import refuse_sharing, variable_values

__all__ = [
    "COMPUTED",
    "DEQUANTIZED",
    "DEQUANTIZERS",
    "MOVES",
    "Origin",
    "constants_behind",
    "origin_of",
    "replaceable",
    "weight_tensor",
]

MOVES = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
DEQUANTIZED = "its weight is quantized (DequantizeLinear): factorize before quantizing"
DEQUANTIZERS = {"DequantizeLinear", "DequantizeBFP"}
COMPUTED = "has no constant weight: both operands are computed at run time"


@dataclasses.dataclass(frozen=True)
class Origin:
    """The constant at the start of a chain of operators that only move or convert it.

    Attributes:
        root: The initializer, or the output of the Constant.
        tensor: Its contents.
        chain: The operators between it and its reader, in order.
        shared: Whether other operators read it too.
    """

    root: ir.Value
    tensor: ir.TensorProtocol
    chain: tuple[ir.Node, ...]
    shared: bool = False

    @property
    def moved(self) -> bool:
        """Tells whether the reader sees other contents than the constant's."""
        return any(node.op_type != "Identity" for node in self.chain)

    def read(self) -> ir.TensorProtocol:
        """Computes what the reader sees, each time that it is read; it is never kept."""
        if not self.moved:
            return self.tensor
        shape, dtype = tuple(self.tensor.shape.numpy()), self.tensor.dtype
        moves: list[Callable[[AnyArray], AnyArray]] = []
        for node in self.chain:  # read now: normalising removes these nodes
            if node.op_type == "Transpose":
                axes = list(node.attributes.get_ints("perm", tuple(reversed(range(len(shape))))))
                shape = tuple(shape[axis] for axis in axes)
                moves.append(functools.partial(np.transpose, axes=axes))
            elif node.op_type == "Cast":
                dtype = ir.DataType(node.attributes["to"].as_int())
                moves.append(functools.partial(_cast, dtype=dtype.numpy()))
            else:
                shape = _reshaped(node, shape)
                moves.append(functools.partial(_reshape, shape=shape))

        def contents() -> ir.TensorProtocol:
            array = self.tensor.numpy()
            for move in moves:
                array = move(array)
            return ir.tensor(np.ascontiguousarray(array), dtype=dtype)

        return ir.LazyTensor(contents, dtype=dtype, shape=ir.Shape(shape), name=self.root.name)


def origin_of(model: ir.Model, value: ir.Value | None) -> Origin | str:
    """The constant behind a weight, or the reason why the weight cannot be replaced."""
    if value is None:
        return "lacks an operand"
    chain: list[ir.Node] = []
    seen, shared = value, False
    while True:
        shared |= len(seen.uses()) > 1
        refusal = _refuse_link(model, seen)
        if refusal:
            return refusal
        node = seen.producer()
        if node is None or node.op_type == "Constant":
            tensor = constant(seen)
            if tensor is None:
                return COMPUTED
            if tensor.dtype not in _FLOATS:
                return f"its weight is of type {tensor.dtype.name.lower()}"
            refusal = refuse_sharing(seen) if shared else None
            return refusal or Origin(seen, tensor, tuple(reversed(chain)), shared)
        refusal = _refuse_node(node)
        if refusal:
            return refusal
        chain.append(node)
        assert node.inputs[0] is not None
        seen = node.inputs[0]


def replaceable(model: ir.Model, value: ir.Value) -> bool:
    """Tells whether a caller may feed another value in place of an initializer.

    Before IR version 4 every initializer had to be listed among the inputs, so that it says
    nothing there.
    """
    return value.is_graph_input() and (model.ir_version is None or model.ir_version >= 4)


def weight_tensor(model: ir.Model, value: ir.Value | None) -> ir.TensorProtocol | str:
    """The tensor of a weight that can be replaced, or the reason why it cannot."""
    origin = origin_of(model, value)
    if isinstance(origin, Origin):
        return origin.tensor if origin.root is value else "is not normalised"
    return origin


def _refuse_link(model: ir.Model, value: ir.Value) -> str | None:
    """The reason why a value between a weight and its constant forbids to replace it, or None."""
    if value.producer() is None and not value.is_initializer():
        return COMPUTED
    if replaceable(model, value):
        return (
            f"its weight '{value.name}' is also a graph input, which a caller may replace: remove "
            "it from the inputs if nobody does"
        )
    if value.producer() is not None and not _is_constant(value):
        return COMPUTED
    if value.is_graph_output():
        return f"its weight '{value.name}' is also a graph output"
    return None


def _refuse_node(node: ir.Node) -> str | None:
    """The reason why an operator between a weight and its constant is not seen through, or None."""
    if node.op_type in DEQUANTIZERS:
        return DEQUANTIZED
    if node.domain != "" or node.op_type not in MOVES:
        return (
            f"its weight is computed from constants by {node.op_type}: fold constants first, for "
            "example with onnxslim or onnxruntime's offline optimizer"
        )
    if any(value is not None and constant(value) is None for value in node.inputs[1:]):
        return f"the shape that {node.op_type} gives its weight is computed: fold constants first"
    return None


def constants_behind(value: ir.Value | None) -> dict[ir.Value, int]:
    """The constants that a value is computed from alone, with their numbers of elements.

    Indices and shapes, which are integers of 64 bits, are left out.
    """
    found: dict[ir.Value, int] = {}
    stack = [value] if _is_constant(value) else []
    while stack:
        seen = stack.pop()
        if seen is None:
            continue
        node = seen.producer()
        if node is not None and node.op_type != "Constant":
            stack.extend(node.inputs)
            continue
        tensor = constant(seen)
        if tensor is not None and tensor.dtype != ir.DataType.INT64:
            found[seen] = math.prod(tensor.shape.numpy())
    return found


def _is_constant(value: ir.Value | None) -> bool:
    """Tells whether a value is computed from constants alone."""
    if value is None:
        return True
    variable = variable_values()
    if value in variable:
        return False
    found = _follows_constants(value, variable)
    if not found:
        variable.add(value)
    return found


def _follows_constants(
    value: ir.Value | None, variable: Collection[ir.Value], depth: int = 32
) -> bool:
    """The same, looked for in so many nodes on the way back, up to values known to vary."""
    if value is None:
        return True
    if value in variable:
        return False
    node = value.producer()
    if node is None:
        return value.is_initializer()
    if node.op_type == "Constant" and node.domain == "":
        return True
    if not node.inputs or not depth or node.op_type.startswith("Random"):
        return False
    return all(_follows_constants(each, variable, depth - 1) for each in node.inputs)


def _axes(node: ir.Node) -> list[int] | None:
    """The axes of a Squeeze or an Unsqueeze, an attribute before opset 13."""
    if "axes" in node.attributes:
        return list(node.attributes["axes"].as_ints())
    tensor = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if tensor is None else [int(axis) for axis in tensor.numpy().reshape(-1)]


def _reshaped(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that an operator gives to a constant without moving its elements."""
    if node.op_type == "Reshape":
        tensor = constant(node.inputs[1])
        assert tensor is not None
        wanted = [int(length) for length in tensor.numpy().reshape(-1)]
        if not node.attributes.get_int("allowzero", 0):
            wanted = [shape[i] if length == 0 else length for i, length in enumerate(wanted)]
        rest = math.prod(length for length in wanted if length != -1)
        return tuple(math.prod(shape) // rest if length == -1 else length for length in wanted)
    if node.op_type == "Flatten":
        axis = node.attributes.get_int("axis", 1) % (len(shape) + 1)
        return (math.prod(shape[:axis]), math.prod(shape[axis:]))
    axes = _axes(node)
    if node.op_type == "Squeeze":
        if axes is None:
            return tuple(length for length in shape if length != 1)
        gone = {axis % len(shape) for axis in axes}
        return tuple(length for axis, length in enumerate(shape) if axis not in gone)
    if node.op_type == "Unsqueeze":
        assert axes is not None
        rank = len(shape) + len(axes)
        new, rest_of = {axis % rank for axis in axes}, iter(shape)
        return tuple(1 if axis in new else next(rest_of) for axis in range(rank))
    return shape


def _cast(array: AnyArray, dtype: Any) -> AnyArray:
    return array.astype(dtype)


def _reshape(array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    return array.reshape(shape)
