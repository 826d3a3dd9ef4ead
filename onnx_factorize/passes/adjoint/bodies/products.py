"""Bodies of fused products: FusedMatMul, FusedConv, MatMulNBits."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError

# The parameters of each activation: the names of its attributes as a standard operator.
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "": (),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}


@body("FusedMatMul", "TransposeMatMul")
def _fused_matmul(c: Call) -> Outputs:
    """Y = alpha · A' B', either factor transposed, or its batch axes moved behind its rows."""
    e = c.e
    a, b = (_turned(c, index, name) for index, name in enumerate("AB"))
    y, alpha = e.matmul(a, b), c.number("alpha", 1.0)
    return [y if alpha == 1 else e.mul(y, c.scalar(alpha))]


def _turned(c: Call, index: int, name: str) -> ir.Value:
    """Emit a factor as its product reads it."""
    x = c.x(index)
    if not (c.integer(f"trans{name}", 0) or c.integer(f"transBatch{name}", 0)):
        return x
    rank = c.rank(index)
    if rank < 2:
        return x
    order = list(range(rank))
    if c.integer(f"transBatch{name}", 0):  # the first axis is that of rows
        order = [*order[1:-1], 0, order[-1]]
    if c.integer(f"trans{name}", 0):
        order[-2:] = order[:-3:-1]
    return c.e.transpose(x, order)


@body("FusedConv")
def _fused_conv(c: Call) -> Outputs:
    """Y = activation(Conv(x) + z)."""
    e, kind = c.e, c.string("activation", "")
    names = ACTIVATIONS.get(kind)
    if names is None:
        raise NoRuleError(f"no body for the activation {kind}")
    values = c.numbers("activation_params")
    if len(values) < len(names):
        raise NoRuleError(f"the parameters of {kind} are missing")
    inputs = [c.x(0), c.x(1), *([] if c.maybe(2) is None else [c.x(2)])]
    y = e.op("Conv", *inputs, **c.others("activation", "activation_params"))
    if c.maybe(3) is not None:
        y = e.add(y, c.x(3))
    if kind:
        y = e.op(kind, y, **dict(zip(names, values, strict=False)))
    return [y]


@body("MatMulNBits")
def _matmul_of_few_bits(c: Call) -> Outputs:
    """Y = X Wᵀ + b, W a constant of few bits, in blocks of a scale and a zero point each."""
    c.refuse_inputs(g_idx=4)
    c.refuse_attributes(weight_prepacked=0)
    e, bits, size = c.e, c.integer("bits", 4), c.integer("block_size", 0)
    rows, columns = c.integer("N", 0), c.integer("K", 0)
    blocks = -(-columns // size)
    whole = _unpacked(c, c.x(1), bits, [rows, blocks, size])
    zero: ir.Value = c.scalar(2 ** (bits - 1))
    if c.maybe(3) is not None and c.x(3).dtype == ir.DataType.UINT8:
        packed = _unpacked(c, e.reshape(c.x(3), [rows, -1]), bits, [rows, -1])
        zero = e.reshape(e.slice(packed, [0], [blocks], [1]), [rows, blocks, 1])
    elif c.maybe(3) is not None:
        zero = e.reshape(c.x(3), [rows, blocks, 1])
    scale = e.reshape(c.x(2), [rows, blocks, 1])
    flat = e.reshape(e.mul(e.sub(whole, zero), scale), [rows, blocks * size])
    weight = e.slice(flat, [0], [columns], [1]) if blocks * size > columns else flat
    y = e.matmul(c.x(0), e.transpose(weight, [1, 0]))
    return [y if c.maybe(5) is None else e.add(y, c.x(5))]


def _unpacked(c: Call, x: ir.Value, bits: int, shape: list[int]) -> ir.Value:
    """Emit the numbers that bytes hold, the lowest bits first, in the type of the argument."""
    e = c.e
    if bits not in (2, 4, 8):
        raise NoRuleError(f"a weight of {bits} bits")
    e.needs(11, "BitShift")
    parts = []
    for first in range(0, 8, bits):
        part = x
        left = 8 - bits - first  # what is above goes out on the left, what is below on the right
        if left:
            part = e.op("BitShift", part, _byte(c, left), direction="LEFT")
        if bits < 8:
            part = e.op("BitShift", part, _byte(c, 8 - bits), direction="RIGHT")
        parts.append(e.unsqueeze(e.cast(part, c.dtype), [-1]))
    return e.reshape(e.concat(parts, -1), shape)


def _byte(c: Call, value: int) -> ir.Value:
    return c.e.constant(np.uint8(value), ir.DataType.UINT8)
