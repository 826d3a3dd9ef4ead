"""Multiplications of a linear operator, as products of lengths of what it reads."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

__all__ = ["Lengths", "Term", "of_conv", "of_gemm", "of_matmul", "operand"]


@dataclasses.dataclass(frozen=True)
class Lengths:
    """The product of some lengths of a value: those of the axes from `start` to before `stop`."""

    value: ir.Value
    start: int = 0
    stop: int | None = None


# A product of lengths; the multiplications of an operator are the sum of a few.
Term = tuple[Lengths, ...]


def operand(node: ir.Node, index: int) -> ir.Value:
    """An operand that must be there."""
    value = node.inputs[index]
    assert value is not None
    return value


def of_matmul(node: ir.Node) -> tuple[Term, ...]:
    """Of `op(A) @ B`: each element of the result takes as many as rows of op(A) are long."""
    a, turned = operand(node, 0), bool(node.attributes.get_int("transA", 0))
    contracted = Lengths(a, -2, -1) if turned else Lengths(a, -1)
    return ((Lengths(node.outputs[0]), contracted),)


def of_gemm(node: ir.Node) -> tuple[Term, ...]:
    """Of a Gemm: one axis of A is contracted, and the other is a row of the result."""
    operand(node, 1)
    return ((Lengths(operand(node, 0)), Lengths(node.outputs[0], 1, 2)),)


def of_conv(node: ir.Node) -> tuple[Term, ...]:
    """Of a convolution: each element of the result takes a kernel, of all channels of a group."""
    return ((Lengths(node.outputs[0]), Lengths(operand(node, 1), 1)),)
