"""Zero in place of the subnormal numbers of weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import onnx_ir as ir

from .linear.negligible import tiny
from .linear.provenance import origin_name
from .linear.weight_inputs import is_linear
from .linear.weights import MOVES, replaceable

__all__ = ["DropTiny"]

# Types in which numbers below `LEAST` are subnormal, or make such numbers.
_TYPES = (ir.DataType.FLOAT, ir.DataType.BFLOAT16)

# Operators whose constants are weights of the linear operator before them.
_AFTER = ("Add", "BatchNormalization", "Mul")

# Numbers that are looked at together.
_AT_ONCE = 2**20


class DropTiny(ir.passes.InPlacePass):
    """Puts zero in place of numbers below `LEAST` in weights and biases of linear operators.

    Weights are the constants that linear operators read, directly or behind operators that move
    them, and those of an Add, Mul or BatchNormalization that reads what a linear operator gives.
    Constants of other operators (what keeps a division from zero, say) are left alone, as are
    single numbers and what a caller may replace.

    Attributes:
        numbers: How many there were.
    """

    def __init__(self, which: Literal["all", "factors"] = "all") -> None:
        """Initializes the pass.

        Args:
            which: Treat those of all operators, or of those only that a rewrite has made.
        """
        self._factors = which == "factors"
        self.numbers = 0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on all graphs and functions."""
        self.numbers = 0
        seen: set[ir.Value] = set()
        bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
        for body in bodies:
            for node in body.all_nodes():
                if self._factors and origin_name(node) is None:
                    continue
                for root in _weights(model, node):
                    if root not in seen:
                        seen.add(root)
                        self._treat(root)
        return ir.passes.PassResult(model, modified=self.numbers > 0)

    def _treat(self, root: ir.Value) -> None:
        """Treats an initializer, or the output of a Constant."""
        node = root.producer()
        tensor = root.const_value if node is None else node.attributes["value"].as_tensor()
        assert tensor is not None
        if tensor.dtype not in _TYPES or tensor.size < 2:
            return
        array = tensor.numpy()
        flat = array.reshape(-1)
        parts = (flat[start : start + _AT_ONCE] for start in range(0, flat.size, _AT_ONCE))
        found = sum(int(tiny(part.astype(np.float32)).sum()) for part in parts)
        if not found:
            return
        self.numbers += found
        # The tensor may be mapped from the user's file, and shared with the model that it is of.
        kept = array.copy()
        kept[tiny(array.astype(np.float32))] = 0
        dropped = ir.tensor(kept, dtype=tensor.dtype, name=tensor.name)
        if node is None:
            root.const_value = dropped
        else:
            node.attributes["value"] = ir.AttrTensor("value", dropped)


def _weights(model: ir.Model, node: ir.Node) -> Iterator[ir.Value]:
    """Yields the constants that are weights of a node, and of nothing else."""
    if node.op_type in _AFTER and node.domain == "":
        sources = [value.producer() for value in node.inputs[:2] if value is not None]
        if not any(source is not None and is_linear(source) for source in sources):
            return
        # The running mean and variance of a BatchNormalization are no weights.
        operands = node.inputs[1:3] if node.op_type == "BatchNormalization" else node.inputs
    elif is_linear(node) or origin_name(node) is not None:
        operands = node.inputs
    else:
        return
    for value in operands:
        root = _root(model, value)
        if root is not None:
            yield root


def _root(model: ir.Model, value: ir.Value | None) -> ir.Value | None:
    """The constant that a value moves, if nothing else reads it on the way."""
    while value is not None:
        readers = value.consumers()
        if value.is_graph_output() or not all(_is_weight_reader(reader) for reader in readers):
            return None
        node = value.producer()
        if node is None:
            known = value.is_initializer() and value.const_value is not None
            return value if known and not replaceable(model, value) else None
        if node.op_type == "Constant":
            return value if "value" in node.attributes else None
        if node.op_type not in MOVES or node.domain != "":
            return None
        value = node.inputs[0]
    return None


def _is_weight_reader(node: ir.Node) -> bool:
    names = (*MOVES, *_AFTER)
    return is_linear(node) or (node.domain == "" and node.op_type in names)
