"""Types and dimension tokens behind onnxruntime's fused operators, where onnx's inference ends."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from onnx_factorize.passes.adjoint import bodies
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.facts import Facts

_MICROSOFT = "com.microsoft"
_SAME = frozenset(
    {
        ("", "SimplifiedLayerNormalization"),
        (_MICROSOFT, "FastGelu"),
        (_MICROSOFT, "Gelu"),
        (_MICROSOFT, "QuickGelu"),
        (_MICROSOFT, "SimplifiedLayerNormalization"),
    }
)


def tells(node: ir.Node) -> bool:
    """Tell whether something is known of an operator that onnx does not know."""
    return (node.domain, node.op_type) in _SAME or bodies.has_body(node)


def fill(node: ir.Node, facts: Facts, visit: Callable[[ir.Node, Facts], None]) -> None:
    """Give a fused operator's outputs what its body tells of them.

    Args:
        node: The node.
        facts: What is known; it is added to.
        visit: Does the same for a standard operator.
    """
    first = node.inputs[0] if node.inputs else None
    if (node.domain, node.op_type) in _SAME and first is not None:
        _learn(node.outputs[0], facts, first, facts)
    elif bodies.has_body(node):
        try:
            body = bodies.build(node, facts, facts.opset)
        except NoRuleError:
            return
        inner = _inside(body, node, facts, visit)
        for value in body.graph.outputs:
            index = int((value.name or "").removeprefix("output_"))
            _learn(node.outputs[index], facts, value, inner)


def _inside(
    body: ir.Model, node: ir.Node, facts: Facts, visit: Callable[[ir.Node, Facts], None]
) -> Facts:
    """Return the facts of a body's values."""
    inner = facts.apart()
    for value in body.graph.inputs:
        source = node.inputs[int((value.name or "").removeprefix("input_"))]
        assert source is not None
        _learn(value, inner, source, facts)
        if source in facts.ints:
            inner.ints[value] = facts.ints[source]
    for value in body.graph.initializers.values():
        inner.learn_constant(value)
    for each in body.graph:
        for value in each.outputs:
            inner.learn(value, value.shape, value.dtype)
        visit(each, inner)
    for value in body.graph.outputs:  # the first argument's type is that of all outputs
        inner.dtypes[value] = body.graph.inputs[0].dtype or ir.DataType.FLOAT
    return inner


def _learn(value: ir.Value, facts: Facts, source: ir.Value, known: Facts) -> None:
    dtype, dims = known.dtype(source), known.dims.get(source)
    if dtype is not None and facts.dtype(value) is None:
        facts.dtypes[value] = dtype
    old = facts.dims.get(value)
    if dims is not None and old is not None and len(old) == len(dims):
        dims = tuple(a if isinstance(a, int) else b for a, b in zip(old, dims, strict=True))
    if dims is not None:
        facts.dims[value] = dims
