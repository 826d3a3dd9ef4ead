"""How many multiplications a linear operator takes, as products of lengths of what it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import onnx_ir as ir

from ._operators import MICROSOFT, REST

__all__ = ["Lengths", "Term", "multiplications"]


@dataclasses.dataclass(frozen=True)
class Lengths:
    """The product of some lengths of a value: those of the axes from `start` to before `stop`."""

    value: ir.Value
    start: int = 0
    stop: int | None = None


# A product of lengths; the multiplications of an operator are the sum of a few.
Term = tuple[Lengths, ...]


def multiplications(node: ir.Node) -> tuple[Term, ...] | None:
    """The multiplications of a node, None where it has none that are counted.

    Products of activations with one another count too. Quantized operators do not.
    """
    count = _COUNTS.get((node.domain, node.op_type))
    if count is None or (node.domain == "" and "helper" in node.meta):
        return None
    try:
        return count(node)
    except (IndexError, KeyError, AssertionError):
        return None  # an operand is missing


def _matmul(node: ir.Node) -> tuple[Term, ...]:
    """`op(A) @ B`: each element of the result takes as many as rows of op(A) are long."""
    a, turned = _input(node, 0), bool(node.attributes.get_int("transA", 0))
    contracted = Lengths(a, -2, -1) if turned else Lengths(a, -1)
    return ((Lengths(node.outputs[0]), contracted),)


def _gemm(node: ir.Node) -> tuple[Term, ...]:
    """One axis of A is contracted, and the other is a row of the result."""
    _input(node, 1)
    return ((Lengths(_input(node, 0)), Lengths(node.outputs[0], 1, 2)),)


def _conv(node: ir.Node) -> tuple[Term, ...]:
    return ((Lengths(node.outputs[0]), Lengths(_input(node, 1), 1)),)


def _conv_transpose(node: ir.Node) -> tuple[Term, ...]:
    return ((Lengths(_input(node, 0)), Lengths(_input(node, 1), 1)),)


def _recurrent(node: ir.Node) -> tuple[Term, ...]:
    """Every step of every sample multiplies the input and the recurrent weights of all gates."""
    steps = Lengths(_input(node, 0), 0, 2)
    recurrence = (steps, Lengths(_input(node, 2)))
    if REST in node.meta:  # a product before it has multiplied the input
        return (recurrence,)
    return ((steps, Lengths(_input(node, 1))), recurrence)


def _einsum(node: ir.Node) -> tuple[Term, ...] | None:
    """Each element of the result takes as many as the axes that are summed over have places."""
    if len(node.inputs) != 2:
        return None
    equation = node.attributes["equation"].as_string().replace(" ", "")
    operands, arrow, out = equation.partition("->")
    parts = operands.split(",")
    if not arrow:
        bare = operands.replace(",", "").replace(".", "")
        out = "".join(sorted(c for c in set(bare) if bare.count(c) == 1))
    summed: dict[str, Lengths] = {}
    for index, part in enumerate(parts):
        before, dots, after = part.partition("...")
        axes = {c: place for place, c in enumerate(before)}
        axes |= {c: place - len(after) for place, c in enumerate(after)} if dots else {}
        for c, axis in axes.items():
            if c not in out:
                stop = axis + 1 if axis != -1 else None
                summed[c] = Lengths(_input(node, index), axis, stop)
    return ((Lengths(node.outputs[0]), *summed.values()),)


def _fused_attention(node: ir.Node) -> tuple[Term, ...]:
    """Onnxruntime's Attention: one product makes queries, keys and values of x."""
    x, y = _input(node, 0), Lengths(node.outputs[0])
    keys = Lengths(x, 1, 2)
    return ((Lengths(x, 0, 2), Lengths(_input(node, 1))), (y, keys), (y, keys))


def _attention(node: ir.Node) -> tuple[Term, ...]:
    """Each query meets each key, and each key's value; those of a cache too."""
    queries, y = Lengths(_input(node, 0)), Lengths(node.outputs[0])
    keys = [Lengths(_input(node, 1), -2, -1)]
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        keys.append(Lengths(node.inputs[4], -2, -1))
    return tuple((each, length) for length in keys for each in (queries, y))


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


_COUNTS: dict[tuple[str, str], Callable[[ir.Node], tuple[Term, ...] | None]] = {
    ("", "Attention"): _attention,
    ("", "Conv"): _conv,
    ("", "ConvTranspose"): _conv_transpose,
    ("", "Einsum"): _einsum,
    ("", "GRU"): _recurrent,
    ("", "Gemm"): _gemm,
    ("", "LSTM"): _recurrent,
    ("", "MatMul"): _matmul,
    ("", "RNN"): _recurrent,
    (MICROSOFT, "Attention"): _fused_attention,
    (MICROSOFT, "FusedConv"): _conv,
    (MICROSOFT, "FusedGemm"): _gemm,
    (MICROSOFT, "FusedMatMul"): _matmul,
    (MICROSOFT, "FusedMatMulActivation"): _matmul,
    (MICROSOFT, "GemmFastGelu"): _matmul,
    (MICROSOFT, "NhwcConv"): _conv,
    (MICROSOFT, "NhwcFusedConv"): _conv,
    (MICROSOFT, "TransposeMatMul"): _matmul,
    (f"{MICROSOFT}.nchwc", "Conv"): _conv,
}
