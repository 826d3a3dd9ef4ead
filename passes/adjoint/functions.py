"""Differentiation of operators through the bodies of their ONNX functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx
import onnx.inliner
import onnx_ir as ir

from onnx_factorize.passes.adjoint import dims
from onnx_factorize.passes.adjoint.registry import NoRuleError

if TYPE_CHECKING:
    from onnx_factorize.passes.adjoint.append import Sweep


def differentiate(sweep: Sweep, node: ir.Node, cotangents: Sequence[ir.Value | None]) -> None:
    """Emit a node's function body beside it, and differentiate that.

    The node stays: what the body recomputes serves its derivative only.

    Raises:
        NoRuleError: The operator has no function body, or types for it are missing.
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
        if any(attr.type == ir.AttributeType.GRAPH for attr in inner.attributes.values()):
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
            sweep.contribute(values[f"output_{i}"], cotangent)
    sweep.run(nodes)


def _inline(sweep: Sweep, node: ir.Node) -> ir.Model:
    """Return a model of the node alone, replaced by its function body."""
    inputs, initializers = [], []
    arguments: list[ir.Value | None] = []
    for i, value in enumerate(node.inputs):
        if value is None:
            arguments.append(None)
            continue
        dtype = sweep.facts.dtype(value)
        if dtype is None:
            raise NoRuleError(f"no rule, and the type of its input {value.name!r} is unknown")
        known = sweep.facts.dims.get(value)
        shape = None
        if known is not None:
            shape = ir.Shape([d if isinstance(d, int) else None for d in known])
        argument = ir.Value(name=f"input_{i}", type=ir.TensorType(dtype), shape=shape)
        arguments.append(argument)
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is not None and tensor.size <= 64:
            argument.const_value = tensor
            argument.shape = ir.Shape(tensor.shape.numpy())
            initializers.append(argument)
        else:
            inputs.append(argument)
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
        inputs,
        [value for value in outputs if value.name],
        nodes=[twin],
        initializers=initializers,
        opset_imports=sweep.model.opset_imports,
        name="body",
    )
    local = node.op_identifier() in sweep.model.functions
    model = ir.Model(
        graph,
        ir_version=max(sweep.model.ir_version, 8),
        functions=list(sweep.model.functions.values()) if local else [],
    )
    try:
        proto = ir.to_proto(model)
        if local:
            proto = onnx.inliner.inline_local_functions(proto)
        else:
            schema = onnx.defs.get_schema(node.op_type, sweep.opset, node.domain)
            if not (schema.has_function or schema.has_context_dependent_function):
                raise NoRuleError("no rule")
            chosen = [(node.domain, node.op_type)]
            proto = onnx.inliner.inline_selected_functions(
                proto, chosen, inline_schema_functions=True
            )
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except NoRuleError:
        raise
    except Exception as error:  # onnx raises types of its own, some not importable
        raise NoRuleError("no rule, and no function body") from error
    body = ir.from_proto(proto)
    if any(inner.op_type == node.op_type and inner.domain == node.domain for inner in body.graph):
        raise NoRuleError("no rule")
    return body


def _type(sweep: Sweep, value: ir.Value) -> ir.TensorType | None:
    dtype = sweep.facts.dtype(value)
    return None if dtype is None else ir.TensorType(dtype)
