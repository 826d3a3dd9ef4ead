"""A model made ready for torch: functions inlined, element types inferred."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

from . import operators as _operators  # noqa: F401 - fills the table
from .execution.table import OPERATORS

__all__ = ["prepared"]

# Operators that need to know an element type which a tensor of torch does not tell.
_TYPED = frozenset({"BitCast", "CastLike", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})

_DOMAIN = "onnx_factorize.body"


def prepared(model: ir.Model) -> ir.Model:
    """A copy of a model in which only operators of the table are left, where that is possible.

    The model's own functions are inlined, then those operators that only the function in their
    schema explains.
    """
    model = model.clone()
    if model.functions:
        passes.InlinePass()(model)
    for _ in range(8):  # a body may hold operators that have bodies themselves
        if not _expand(model):
            break
    if any(node.op_type in _TYPED for node in model.graph.all_nodes()):
        passes.ShapeInferencePass()(model)
    return model


def _expand(model: ir.Model) -> bool:
    """Replaces operators that are not in the table by their bodies, where they have one."""
    missing = [
        (node, schema)
        for node in model.graph.all_nodes()
        if (schema := _schema(model, node)) is not None
    ]
    if not missing:
        return False
    if any(schema.has_context_dependent_function for _, schema in missing):
        passes.ShapeInferencePass()(model)
    found = False
    for number, (node, schema) in enumerate(missing):
        proto = _body(node, schema, model.opset_imports.get(node.domain, 1))
        if proto is None:
            continue
        found = True
        proto.domain, proto.name = _DOMAIN, f"{node.op_type}_{number}"
        body = ir.serde.deserialize_function(proto)
        for domain in body.opset_imports:  # its operators mean what they mean in the model
            version = model.opset_imports.setdefault(domain, body.opset_imports[domain])
            body.opset_imports[domain] = version
        model.functions[body.identifier()] = body
        for name in set(node.attributes) - set(proto.attribute):
            del node.attributes[name]
        for name in proto.attribute:
            default = schema.attributes[name].default_value
            if name not in node.attributes and default.name:
                node.attributes[name] = ir.serde.deserialize_attribute(default)
        node.domain, node.op_type = proto.domain, proto.name
    if found:
        model.opset_imports[_DOMAIN] = 1
        passes.InlinePass()(model)
    return found


def _schema(model: ir.Model, node: ir.Node) -> Any:
    """The schema of an operator that is not in the table, if it has a function, or None.

    It is not typed: the stubs of onnx leave out what belongs to functions.
    """
    opset = model.opset_imports.get(node.domain, 1)
    if node.op_type == "Constant" or OPERATORS.find(node.domain, node.op_type, opset) is not None:
        return None
    schema: Any
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _body(node: ir.Node, schema: Any, opset: int) -> onnx.FunctionProto | None:
    """The newest body of an operator that is not above an opset."""
    plain = [v for v in schema.function_opset_versions if v <= opset]
    made = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
    if plain:
        text = schema.get_function_with_opset_version(max(plain))
    elif made:
        types = [
            b"" if value is None else ir.to_proto(value).type.SerializeToString()
            for value in node.inputs
        ]
        text = schema.get_context_dependent_function_with_opset_version(
            max(made), ir.to_proto(node).SerializeToString(), types
        )
    if not (plain or made) or not text:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(text if isinstance(text, bytes) else text.SerializeToString())
    # A body that was made for a node has that node's attributes in it, but declares them still.
    referred = sorted(set(_referred(body.node)))
    body.ClearField("attribute_proto")
    del body.attribute[:]
    body.attribute.extend(referred)
    # It does not make the outputs that the node does not want, but declares those too.
    del body.output[len(node.outputs) :]
    given = {name for inner in body.node for name in inner.output}
    for name in set(body.output) - given:
        body.node.append(onnx.helper.make_node("Constant", [], [name], value_int=0))
    return body


def _referred(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Attributes of a function that its nodes refer to."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                yield attribute.ref_attr_name
            yield from _referred(attribute.g.node)
