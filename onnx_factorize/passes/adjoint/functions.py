"""Differentiation of operators through bodies: of their ONNX functions, and those in `bodies`."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from onnx_factorize.graph import subgraphs
from onnx_factorize.graph.inline import expand, inline
from onnx_factorize.passes.adjoint import bodies, dims
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.sweep import Sweep

_BODIES = ("function", "context_dependent_function")  # absent from onnx's type stubs


def differentiate(sweep: Sweep, node: ir.Node, cotangents: Sequence[ir.Value | None]) -> None:
    """Emit a node's body beside it, and differentiate that.

    The node stays: what the body recomputes serves its derivative only.

    Raises:
        NoRuleError: The operator has no body, or types for it are missing.
    """
    body = _inline(sweep, node)
    values: dict[str, ir.Value] = {
        f"input_{i}": value for i, value in enumerate(node.inputs) if value is not None
    }
    nodes = []
    for value in body.graph.initializers.values():
        assert value.const_value is not None
        if value.name not in values:
            constant = sweep.e.constant(value.const_value.numpy(), value.const_value.dtype)
            sweep.facts.learn_constant(constant)
            values[value.name or ""] = constant
    for inner in body.graph:
        if any(True for _ in subgraphs(inner)):
            raise NoRuleError("its function body has control flow")
        copy = ir.Node(
            inner.domain,
            inner.op_type,
            [None if v is None or not v.name else values[v.name] for v in inner.inputs],
            inner.attributes.values(),
            outputs=[ir.Value(name=sweep.e.name()) for _ in inner.outputs],
            name=sweep.e.name(),
        )
        for old, new in zip(inner.outputs, copy.outputs, strict=True):
            values[old.name or ""] = new
            sweep.facts.learn(new, old.shape, old.dtype)
            sweep.facts.learn_constant(new)
        dims.visit(copy, sweep.facts)
        nodes.append(copy)
    sweep.e.block.nodes.extend(nodes)
    sweep.reach(nodes)
    for i, cotangent in enumerate(cotangents):
        if cotangent is not None:
            if f"output_{i}" not in values:
                raise NoRuleError("no rule for a gradient through its secondary outputs")
            sweep.contribute(values[f"output_{i}"], cotangent)
    sweep.run(nodes)


def _inline(sweep: Sweep, node: ir.Node) -> ir.Model:
    """Return a model of the node alone, replaced by its function body."""
    local = node.op_identifier() in sweep.model.functions
    if not local and bodies.has_body(node):
        return bodies.build(node, sweep.facts, sweep.opset)
    if not local and not _has_body(sweep, node):
        raise NoRuleError("no rule")
    try:
        alone = ir.from_proto(ir.to_proto(_alone(sweep, node)))
        if local:
            inline(alone, set(alone.functions))
        else:
            kind = node.domain, node.op_type
            expand(alone, lambda inner, _: (inner.domain, inner.op_type) == kind)
        body = bodies.inferred(alone)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        raise NoRuleError("no rule, and its function body cannot be inlined") from error
    if any(inner.op_type == node.op_type and inner.domain == node.domain for inner in body.graph):
        raise NoRuleError("no rule")
    return body


def _has_body(sweep: Sweep, node: ir.Node) -> bool:
    try:
        schema = onnx.defs.get_schema(node.op_type, sweep.opset, node.domain)
    except onnx.defs.SchemaError:
        return False
    return any(getattr(schema, f"has_{kind}") for kind in _BODIES)


def _alone(sweep: Sweep, node: ir.Node) -> ir.Model:
    """Return a model of one node, its small constants as initializers."""
    arguments = [_argument(sweep, i, value) for i, value in enumerate(node.inputs)]
    present = [value for value in arguments if value is not None]
    outputs = [
        ir.Value(name=f"output_{i}" if value.name else "", type=_type(sweep, value))
        for i, value in enumerate(node.outputs)
    ]
    twin = ir.Node(
        node.domain,
        node.op_type,
        arguments,
        node.attributes.values(),
        overload=node.overload,
        outputs=outputs,
    )
    graph = ir.Graph(
        [value for value in present if value.const_value is None],
        [value for value in outputs if value.name],
        nodes=[twin],
        initializers=[value for value in present if value.const_value is not None],
        opset_imports=sweep.model.opset_imports,
        name="body",
    )
    functions = list(sweep.model.functions.values())
    return ir.Model(graph, ir_version=max(sweep.model.ir_version, 8), functions=functions)


def _argument(sweep: Sweep, index: int, value: ir.Value | None) -> ir.Value | None:
    """Return a stand-in for an input, with what is certain of its type and shape."""
    if value is None:
        return None
    kind = _type(sweep, value)
    if kind is None:
        raise NoRuleError(f"no rule, and the type of its input {value.name!r} is unknown")
    known = sweep.facts.dims.get(value)
    shape = None
    if known is not None:
        shape = ir.Shape([dim if isinstance(dim, int) else None for dim in known])
    argument = ir.Value(name=f"input_{index}", type=kind, shape=shape)
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None and tensor.size <= 64:
        argument.const_value = tensor
        argument.shape = ir.Shape(tensor.shape.numpy())
    return argument


def _type(sweep: Sweep, value: ir.Value) -> ir.TensorType | None:
    dtype = sweep.facts.dtype(value)
    return None if dtype is None else ir.TensorType(dtype)
