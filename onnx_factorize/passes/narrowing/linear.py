"""Conv, ConvTranspose, Gemm and MatMul: they compute channels of others."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from ..linear.marks import is_helper, shared_weight
from ..linear.weights import COMPUTED, Origin, origin_of
from .mends import MendGroups
from .operand import Operand
from .registry import rule
from .step import Step

__all__ = ["Product", "product_of"]


@dataclasses.dataclass(frozen=True)
class Product:
    """The axes of a linear operator with a constant weight.

    Attributes:
        x: The input that the weight multiplies.
        weight: The input that holds the weight.
        read: The axis of `x` that it is multiplied along; negative where it counts from the last.
        made: The axis of the output that it gives, likewise.
        rows: The axis of the weight along `read`.
        columns: The axis of the weight along `made`.
        convolves: Whether it is a convolution, whose axes behind the second are positions.
        groups: The number of independent products.
    """

    x: int
    weight: int
    read: int
    made: int
    rows: int
    columns: int
    convolves: bool = False
    groups: int = 1


def product_of(model: ir.Model, node: ir.Node) -> Product | str:
    """The axes of a linear operator, or the reason why its channels are not read.

    The reason is a clause about the operator.
    """
    read = _READERS.get(node.op_type) if node.domain == "" else None
    if read is None:
        return f"is a {node.op_type}, whose channels are not narrowed"
    if len(node.inputs) < 2 or node.inputs[0] is None or node.inputs[1] is None:
        return "lacks an operand"
    index = 0 if node.op_type == "Gather" else 1
    origin = origin_of(model, node.inputs[index])
    if origin == COMPUTED and node.op_type in ("Gemm", "MatMul"):
        index, origin = 0, origin_of(model, node.inputs[0])
    if not isinstance(origin, Origin):
        return origin
    if origin.shared or shared_weight(origin.root) is not None:
        return f"shares its weight '{origin.root.name}' with other operators"
    if node.op_type == "Gather" and node.attributes.get_int("axis", 0) != 0:
        return "picks columns of its weight"
    shape = origin.read().shape.numpy()
    if node.op_type in ("Gather", "MatMul") and (len(shape) < 2 or math.prod(shape[:-2]) != 1):
        return "multiplies by a stack of matrices or a vector"
    return read(node, index, len(shape))


def _conv(node: ir.Node, weight: int, _: int) -> Product | str:
    groups = node.attributes.get_int("group", 1)
    return Product(0, weight, 1, 1, rows=1, columns=0, convolves=True, groups=groups)


def _conv_transpose(node: ir.Node, weight: int, _: int) -> Product | str:
    groups = node.attributes.get_int("group", 1)
    return Product(0, weight, 1, 1, rows=0, columns=1, convolves=True, groups=groups)


def _gemm(node: ir.Node, weight: int, _: int) -> Product | str:
    trans_a, trans_b = (node.attributes.get_int(name, 0) for name in ("transA", "transB"))
    if weight == 1:
        if trans_a:
            return "reads a transposed input (Gemm with transA)"
        return Product(0, 1, 1, 1, rows=int(bool(trans_b)), columns=1 - int(bool(trans_b)))
    made = int(bool(trans_a))
    return Product(1, 0, int(bool(trans_b)), 0, rows=1 - made, columns=made)


def _matmul(_: ir.Node, weight: int, rank: int) -> Product | str:
    if weight == 1:
        return Product(0, 1, -1, -1, rows=rank - 2, columns=rank - 1)
    return Product(1, 0, -2, -2, rows=rank - 1, columns=rank - 2)


def _gather(_: ir.Node, weight: int, __: int) -> Product | str:
    return Product(1, weight, -1, -1, rows=0, columns=1)


_READERS = {
    "Gather": _gather,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


@rule("Conv", "ConvTranspose", "Gemm", "MatMul")
def linear(step: Step) -> None:
    """Channels are read, are made, or are no channels to the operator (rows of a matrix)."""
    product = product_of(step.model, step.node)
    if isinstance(product, str):
        if product == COMPUTED and step.node.op_type == "MatMul":
            product_of_two(step)
        else:
            step.block(f"{step.name} {product}")
        return
    if product.groups == 1 and is_helper(step.node):
        step.mixes()
        return
    x, y = Operand(step.node, product.x), step.output()
    rank = step.rank(x)
    least = max(2, product.rows + 1, product.columns + 1)
    if rank is None or (product.read < 0 and rank < least):
        step.unknown(x)
        return
    read = product.read % rank
    made = product.made % rank
    if step.at == x and step.axis == read:
        _read(step, product, y)
    elif step.at == y and step.axis == made:
        _make(step, product, x)
    elif step.at == Operand(step.node, product.weight):
        _weigh(step, product, x, read, made)
    elif step.at not in (x, y) or (product.convolves and step.axis > 1):
        step.mixes()
    elif step.node.op_type == "Gemm" and step.input(2) is not None:
        step.block(f"they are rows to {step.name}")
    else:
        step.same(y if step.at == x else x, step.axis)


def _read(step: Step, product: Product, y: Operand) -> None:
    weight = Operand(step.node, product.weight)
    if product.groups == 1:
        step.same(weight, product.rows)
        step.reads()
        return
    dims = step.dims(weight)
    assert dims is not None
    each = step.length // product.groups
    outputs = dims[0] if product.columns == 0 else int(str(dims[1])) * product.groups
    assert isinstance(outputs, int)
    if step.length % product.groups or outputs % product.groups:
        step.block(f"{step.name} has groups of different sizes")
        return
    mine = np.arange(step.length)
    theirs = mine // each * (outputs // product.groups)
    step.link(y, 1, mine, theirs, outputs)
    step.link(step.at, 1, mine, mine // each * each, step.length)
    if product.rows == 0:
        step.same(weight, 0)
    found = step.reached(step.at, 1)
    assert found is not None
    step.mend(MendGroups(step.node, "group", found, each))


def _weigh(step: Step, product: Product, x: Operand, read: int, made: int) -> None:
    """The weight itself, behind operators that move it."""
    # Of a grouped convolution one axis is that of a single group.
    if step.axis == product.rows and (product.groups == 1 or product.rows == 0):
        step.same(x, read)
    elif step.axis == product.columns and (product.groups == 1 or product.columns == 0):
        step.same(step.output(), made)
    else:
        step.mixes()


def _make(step: Step, product: Product, x: Operand) -> None:
    weight = Operand(step.node, product.weight)
    if product.groups == 1 or product.columns == 0:
        step.same(weight, product.columns)
    bias = step.input(2)
    if bias is not None:
        _bias(step, bias)
    if product.groups == 1:
        step.produces()
        return
    dims = step.dims(weight)
    assert dims is not None
    inputs = dims[0] if product.rows == 0 else int(str(dims[1])) * product.groups
    assert isinstance(inputs, int)
    if step.length % product.groups or inputs % product.groups:
        step.block(f"{step.name} has groups of different sizes")
        return
    each = step.length // product.groups
    mine = np.arange(step.length)
    step.link(x, 1, mine // each * each, mine // each * (inputs // product.groups), inputs)
    step.link(step.at, 1, mine, mine // each * each, step.length)


def _bias(step: Step, bias: Operand) -> None:
    """A row for a convolution; what is broadcast to the output, for a Gemm."""
    dims = step.dims(bias)
    if step.tensor(bias) is None or dims is None:
        step.block(f"the bias of {step.name} is not constant")
        return
    axis = 0 if step.node.op_type != "Gemm" else step.axis - 2 + len(dims)
    if axis >= 0 and dims[axis] != 1:
        step.same(bias, axis)


@rule("GRU", "LSTM", "RNN")
def recurrent(step: Step) -> None:
    """The channels of the sequence are multiplied by a weight of their own."""
    origin = origin_of(step.model, step.node.inputs[1])
    if not isinstance(origin, Origin) or origin.shared or step.at.output or step.axis != 2:
        step.mixes()
    elif step.at.index < 2:
        step.same(Operand(step.node, 1 - step.at.index), 2)
        step.reads()
    else:
        step.mixes()


def product_of_two(step: Step) -> None:
    """A product of two values that are computed: what is summed over stays."""
    a, b, y = Operand(step.node, 0), Operand(step.node, 1), step.output()
    ranks = [step.rank(each) for each in (a, b)]
    if None in ranks or min(rank or 0 for rank in ranks) < 2:
        step.block(f"nothing is known of the shapes that {step.name} reads")
        return
    rank = step.rank(step.at)
    assert rank is not None
    axis = step.axis - rank
    summed = {a: -1, b: -2}.get(step.at)
    if axis == summed:
        step.block(f"{step.name} sums over them with weights that are computed (attention)")
        return
    others = (a, b, y) if axis < -2 else ((a, y) if axis == -2 else (b, y))
    for operand in others:
        dims = step.dims(operand)
        if operand == step.at or (dims is not None and (len(dims) < -axis or dims[axis] == 1)):
            continue
        if dims is None:
            step.unknown(operand)
        else:
            step.same(operand, axis + len(dims))
