"""Ranks that operators have whatever they read, for values of which nothing else is known."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.facts import Facts

_RECURRENT = ("GRU", "LSTM", "RNN")
_WINDOWS = ("AveragePool", "LpPool", "MaxPool")


def fill(node: ir.Node, facts: Facts) -> None:
    """Give outputs of unknown shape the rank that the operator tells."""
    for index, value in enumerate(node.outputs):
        rank = _rank(node, index, facts) if value not in facts.dims else None
        if rank is not None:
            facts.dims[value] = tuple(facts.fresh() for _ in range(rank))


def _rank(node: ir.Node, index: int, facts: Facts) -> int | None:
    if node.op_type in _RECURRENT:
        return 3 if index else 4
    if node.op_type == "Gemm":
        return 2
    if node.op_type in ("Conv", "ConvTranspose") and node.inputs[1] is not None:
        return facts.rank_or_none(node.inputs[1])
    name = "perm" if node.op_type == "Transpose" else "kernel_shape"
    if (node.op_type == "Transpose" or node.op_type in _WINDOWS) and name in node.attributes:
        return len(node.attributes[name].as_ints()) + (0 if name == "perm" else 2)
    return None
