"""The constants of a model, each under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from ..graph import subgraphs

__all__ = ["content", "is_constant", "named_constants"]


def named_constants(model: ir.Model) -> dict[str, ir.Value]:
    """Initializers and outputs of Constant nodes, in all graphs, by name.

    Branches beside each other may use one name for two constants: the second of them is called
    `NAME#2`, and so on, in the order in which graphs are read.
    """
    found: dict[str, ir.Value] = {}
    for value in _walk(model.graph):
        name, count = value.name or "constant", 1
        while name in found:
            count += 1
            name = f"{value.name}#{count}"
        found[name] = value
    return found


def _walk(graph: ir.Graph) -> Iterator[ir.Value]:
    for value in graph.initializers.values():
        if value.const_value is not None:
            yield value
    for node in graph:
        if is_constant(node):
            yield node.outputs[0]
        for inner in subgraphs(node):
            yield from _walk(inner)


def is_constant(node: ir.Node) -> bool:
    """Tells whether a node is a Constant of a dense tensor."""
    plain = node.op_type == "Constant" and node.domain in ("", "ai.onnx")
    return plain and "sparse_value" not in node.attributes


def content(value: ir.Value) -> ir.TensorProtocol:
    """The content of an initializer or of the output of a Constant node."""
    node = value.producer()
    if node is None:
        assert value.const_value is not None
        return value.const_value
    ((name, attribute),) = node.attributes.items()
    if name == "value":
        tensor: ir.TensorProtocol = attribute.as_tensor()
        return tensor
    given = attribute.value
    if name in ("value_string", "value_strings"):
        words: Sequence[str] = [given] if isinstance(given, str) else given
        shape = () if name == "value_string" else (len(words),)
        return ir.StringTensor([word.encode() for word in words], shape=ir.Shape(shape))
    kind = np.float32 if name.startswith("value_float") else np.int64
    return ir.tensor(np.array(given, kind))
