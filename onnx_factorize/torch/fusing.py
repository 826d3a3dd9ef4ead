"""Activations that exporters spell out, recognised as the one operator that they are.

Each node of an activation that is spelled out is a pass over memory, with one or two more for its
gradient, and a copy that autograd keeps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from . import operators as _operators  # noqa: F401 - fills the table
from .execution.table import OPERATORS, Operator

__all__ = ["Fusion", "find_fusions"]


@dataclasses.dataclass(frozen=True)
class Fusion:
    """Nodes that one operator stands for.

    Attributes:
        operator: The operator, of one input.
        input: What it reads.
        before: The nodes but for the last; nothing else reads what they compute.
    """

    operator: Operator
    input: ir.Value
    before: tuple[ir.Node, ...]


def find_fusions(model: ir.Model, kept: Collection[ir.Value]) -> dict[ir.Node, Fusion]:
    """Finds what can be fused, in subgraphs too.

    Args:
        model: A model whose functions are inlined.
        kept: Constants that must go on being read, because they are trained.

    Returns:
        Last node to fusion.
    """
    found: dict[ir.Node, Fusion] = {}
    for node in model.graph.all_nodes():
        if node.op_type not in ("Mul", "Div") or node.graph is None:
            continue
        for operator, rule in _RULES:
            match = rule.match(model, node.graph, node)
            if match and not any(v in kept for inner in match.nodes for v in inner.inputs):
                before = tuple(inner for inner in match.nodes if inner is not node)
                found[node] = Fusion(operator, match.bindings["x"], before)
                break
    return found


def _hard_swish(op: Any, x: Any, three: Any, low: Any, high: Any, six: Any) -> Any:
    return op.Div(op.Mul(x, op.Clip(op.Add(x, three), low, high)), six)


def _hard_swish_divided_first(op: Any, x: Any, three: Any, low: Any, high: Any, six: Any) -> Any:
    return op.Mul(x, op.Div(op.Clip(op.Add(x, three), low, high), six))


def _swish(op: Any, x: Any) -> Any:
    return op.Mul(x, op.Sigmoid(x))


def _swish_of_one(op: Any, x: Any, one: Any) -> Any:
    return op.Mul(x, op.Sigmoid(op.Mul(x, one)))


def _gelu(op: Any, x: Any, root: Any, one: Any, half: Any) -> Any:
    return op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, root)), one)), half)


def _gelu_halved_first(op: Any, x: Any, root: Any, one: Any, half: Any) -> Any:
    return op.Mul(op.Mul(x, half), op.Add(op.Erf(op.Div(x, root)), one))


# What the constants of the patterns are.
_CONSTANTS = {
    "three": 3,
    "low": 0,
    "high": 6,
    "six": 6,
    "root": math.sqrt(2),
    "one": 1,
    "half": 0.5,
}


def _has_constants(_context: Any, x: ir.Value, **constants: ir.Value | None) -> bool:
    """Tells whether a pattern reads, besides its input, the numbers that make the activation."""
    scalar = x.shape is not None and not x.shape
    return all(_is(value, _CONSTANTS[name], scalar) for name, value in constants.items())


def _is(value: ir.Value | None, number: float, scalar: bool) -> bool:
    """Tells whether a value is a constant number that keeps the shape of what it meets."""
    if value is None or value.is_graph_input():
        return False
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size != 1 or not tensor.dtype.is_floating_point():
        return False
    if len(tensor.shape) > (0 if scalar else 1):
        return False
    close = 1e-5 if tensor.dtype.itemsize >= 4 else 1e-3
    return math.isclose(float(tensor.numpy().reshape(-1)[0]), number, rel_tol=close)


def _rules() -> Iterator[tuple[Operator, pattern.RewriteRule]]:
    patterns: dict[tuple[str, int], list[Callable[..., Any]]] = {
        ("HardSwish", 14): [_hard_swish, _hard_swish_divided_first],
        ("Swish", 24): [_swish, _swish_of_one],
        ("Gelu", 20): [_gelu, _gelu_halved_first],
    }
    for (name, opset), spelled in patterns.items():
        operator = OPERATORS.find("", name, opset)
        assert operator is not None
        for each in spelled:
            # Only its matcher is used: a rule, unlike a pattern, knows the orders of Add and Mul.
            rule = pattern.RewriteRule(each, lambda op, x, **_: op.Identity(x), _has_constants)
            for ordered in rule.commute():
                yield operator, ordered


_RULES = tuple(_rules())
