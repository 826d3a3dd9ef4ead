"""Digests of models: the same model has the same one, from a file or from memory."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx_ir as ir

__all__ = ["digest_of"]

# Larger weights are looked at in so many pieces of as many bytes: training changes all of them.
_PIECES, _PIECE = 16, 1 << 16


def digest_of(model: ir.Model) -> str:
    """A digest of a model's graph and weights."""
    found = hashlib.sha256()
    _add_graph(found, model.graph)
    for function in model.functions.values():
        found.update(repr(function.identifier()).encode())
        _add_nodes(found, function)
    return found.hexdigest()


def _add_graph(found: hashlib._Hash, graph: ir.Graph) -> None:
    ends = [(value.name, str(value.type), str(value.shape)) for value in graph.inputs]
    found.update(repr((ends, [value.name for value in graph.outputs])).encode())
    for name, value in sorted(graph.initializers.items()):
        found.update(name.encode())
        if value.const_value is not None:
            _add_tensor(found, value.const_value)
    _add_nodes(found, graph)


def _add_nodes(found: hashlib._Hash, graph: ir.Graph | ir.Function) -> None:
    for node in graph:
        names = [None if value is None else value.name for value in (*node.inputs, *node.outputs)]
        found.update(repr((node.domain, node.op_type, names)).encode())
        for name, attribute in sorted(node.attributes.items()):
            found.update(name.encode())
            value = attribute.value
            if isinstance(value, ir.Graph):
                _add_graph(found, value)
            elif isinstance(value, ir.TensorProtocol):
                _add_tensor(found, value)
            else:
                found.update(repr(value).encode())


def _add_tensor(found: hashlib._Hash, tensor: ir.TensorProtocol) -> None:
    found.update(repr((str(tensor.dtype), tensor.shape.numpy())).encode())
    if tensor.dtype == ir.DataType.STRING:
        found.update(repr(tensor.numpy().tolist()).encode())
        return
    content = np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
    if content.size <= _PIECES * _PIECE:
        found.update(content.data)
        return
    for start in np.linspace(0, content.size - _PIECE, _PIECES).astype(np.int64):
        found.update(content[start : start + _PIECE].data)
