"""Bodies of functions in the place of their calls: the model's own, and those of schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

__all__ = ["expand", "holding", "inline"]

_DOMAIN = "onnx_factorize.body"
_ROUNDS = 8  # a body may hold operators that have bodies themselves

Function: TypeAlias = "ir.OperatorIdentifier"


def holding(model: ir.Model, wanted: Callable[[ir.Node], bool]) -> set[Function]:
    """The functions of a model that hold a node which is wanted, or a call of one that does."""
    found = {
        key
        for key, function in model.functions.items()
        if any(wanted(node) for node in function.all_nodes())
    }
    size = -1
    while size != len(found):
        size = len(found)
        found |= {
            key
            for key, function in model.functions.items()
            if any(node.op_identifier() in found for node in function.all_nodes())
        }
    return found


def inline(model: ir.Model, chosen: set[Function]) -> bool:
    """Puts the bodies of functions in the place of their calls, in place.

    Returns:
        Whether anything changed. Nothing does where functions cannot be inlined: those of another
        opset than the model's, and those that call each other.
    """
    if not chosen:
        return False
    try:
        made = passes.InlinePass(lambda function: function.identifier() in chosen)(model)
    except (ir.passes.PassError, ValueError):
        return False
    return made.modified


def expand(model: ir.Model, missing: Callable[[ir.Node, int], bool]) -> None:
    """Puts the functions of their schemas in the place of operators, where they have one.

    Args:
        model: The model; it is changed in place.
        missing: Whether an operator is to go, at the opset of its domain.
    """
    for _ in range(_ROUNDS):
        if not _expand_once(model, missing):
            break


def _expand_once(model: ir.Model, missing: Callable[[ir.Node, int], bool]) -> bool:
    """Puts bodies in the place of operators; they may hold such operators again."""
    going = [
        (node, schema)
        for node in model.graph.all_nodes()
        if missing(node, model.opset_imports.get(node.domain, 1))
        and (schema := _schema(model, node)) is not None
    ]
    if not going:
        return False
    if any(schema.has_context_dependent_function for _, schema in going):
        passes.ShapeInferencePass()(model)
    found = False
    for number, (node, schema) in enumerate(going):
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
    """The schema of an operator, if it has a function, or None.

    It is not typed: the stubs of onnx leave out what belongs to functions.
    """
    opset = model.opset_imports.get(node.domain, 1)
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
