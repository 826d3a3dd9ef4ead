"""Bytes of a model's files, before they are written."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .model_io import INLINE

__all__ = ["serialized_size"]

# Weights of no more bytes are serialized to be counted.
_SMALL = 1 << 12

# The lengths of everything around a weight in a subgraph may take so many more bytes.
_NESTED_LENGTHS = 32


def serialized_size(model: ir.Model, location: str | None = None) -> int:
    """Bytes of the model's files, computed without serializing the weights.

    Exact for weights of the main graph; those of subgraphs may count a few bytes too many.

    Args:
        model: The model.
        location: The name of the file beside it that is to hold its weights; None for one file.
    """
    if location is not None:
        return _external_size(model, location)
    payloads = []
    inner = 0
    taken: list[tuple[ir.Value, ir.TensorProtocol]] = []
    try:
        for graph in (model.graph, *model.graph.subgraphs()):
            for value in graph.initializers.values():
                tensor = value.const_value
                if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.nbytes <= _SMALL:
                    continue
                taken.append((value, tensor))
                empty = np.zeros((0,), dtype=tensor.dtype.numpy())
                value.const_value = ir.tensor(empty, dtype=tensor.dtype, name=value.name)
                if graph is model.graph:
                    payloads.append((value.name, tensor.nbytes, tensor.shape.numpy()))
                else:
                    inner += tensor.nbytes + _NESTED_LENGTHS
        proto = ir.to_proto(model)
    finally:
        # To copy the graph would take as long as to serialize it.
        for value, tensor in taken:
            value.const_value = tensor
    sizes = {tensor.name: tensor.ByteSize() for tensor in proto.graph.initializer}
    grown = inner
    for name, payload, shape in payloads:
        more = payload + _length_bytes(payload) - 1
        more += sum(1 + _length_bytes(length) for length in shape) - 2
        size = sizes[name or ""]
        grown += more + _length_bytes(size + more) - _length_bytes(size)
    graph_size = proto.graph.ByteSize()
    prefix = _length_bytes(graph_size + grown) - _length_bytes(graph_size)
    return int(proto.ByteSize()) + grown + prefix


def _external_size(model: ir.Model, location: str) -> int:
    """Bytes of a model and of the file with its weights, which `save` packs without gaps."""
    skeleton, end = model.clone(), 0
    for graph in skeleton.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.dtype == ir.DataType.STRING:
                continue
            if tensor.nbytes <= INLINE:
                # A copy: the file that a tensor is mapped from can then be closed.
                value.const_value = ir.tensor(
                    np.array(tensor.numpy()), tensor.dtype, name=value.name
                )
                continue
            value.const_value = ir.ExternalTensor(
                location, end, tensor.nbytes, tensor.dtype, shape=ir.Shape(tensor.shape.numpy()),
                name=value.name or "",
            )  # fmt: skip
            end += tensor.nbytes
    return int(ir.to_proto(skeleton).ByteSize()) + end


def _length_bytes(length: int) -> int:
    """Bytes in which protobuf writes the length of a field."""
    return max(1, -(-length.bit_length() // 7))
