"""Element types of the outputs of standard operators, from those of their inputs."""

from __future__ import annotations

import functools

import onnx
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.facts import Facts

_NAMED = {"tensor(int64)": ir.DataType.INT64, "tensor(bool)": ir.DataType.BOOL}


def fill(node: ir.Node, facts: Facts) -> None:
    """Learn the types of outputs that inference did not reach, as the schema ties them."""
    outputs = [value for value in node.outputs if value.name and facts.dtype(value) is None]
    if not outputs:
        return
    schema = _schema(node.op_type, facts.opset)
    if schema is None:
        return
    for index, value in enumerate(node.outputs):
        if value not in outputs:
            continue
        dtype = _dtype(node, schema, index, facts)
        if dtype is not None:
            facts.dtypes[value] = dtype


def _dtype(
    node: ir.Node, schema: onnx.defs.OpSchema, index: int, facts: Facts
) -> ir.DataType | None:
    if node.op_type == "Cast":
        return ir.DataType(node.attributes.get_int("to", 0)) or None
    letter = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
    if letter in _NAMED:
        return _NAMED[letter]
    for i, value in enumerate(node.inputs):
        formal = schema.inputs[min(i, len(schema.inputs) - 1)]
        if value is not None and formal.type_str == letter:
            return facts.dtype(value)
    return None


@functools.cache
def _schema(op_type: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return None
