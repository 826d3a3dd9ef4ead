"""Between protobuf and `onnx_ir`, with what that does not carry: sparse constants, training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
import onnx_ir as ir

from ..errors import InputError

__all__ = ["from_proto", "restore_training"]

_TRAINING = "training_info"


def from_proto(proto: onnx.ModelProto) -> ir.Model:
    """Reads a model; sparse constants become dense ones, as onnxruntime makes them.

    Raises:
        InputError: An output holds maps, as exports of scikit-learn's classifiers may have them.
    """
    for output in proto.graph.output:
        inner = output.type.sequence_type.elem_type
        if output.type.HasField("map_type") or inner.HasField("map_type"):
            raise InputError(
                f"The model's output '{output.name}' holds maps (as ZipMap makes them), which "
                "cannot be compared as numbers; export the model with plain probabilities "
                "(options={'zipmap': False} in skl2onnx)."
            )
    if any(_sparse(graph) for graph in _graphs(proto)):
        dense = onnx.ModelProto()
        dense.CopyFrom(proto)
        for graph in _graphs(dense):
            _densify(graph)
        proto = dense
    model = ir.from_proto(proto)
    if proto.training_info:
        # A graph's notes stay with its clones; a model's do not.
        model.graph.meta[_TRAINING] = [part.SerializeToString() for part in proto.training_info]
    return model


def restore_training(model: ir.Model, proto: onnx.ModelProto) -> None:
    """Puts the training information that a model was read with into its protobuf."""
    for part in model.graph.meta.get(_TRAINING, []):
        proto.training_info.add().ParseFromString(part)


def _graphs(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    stack = [proto.graph]
    while stack:
        graph = stack.pop()
        yield graph
        stack += _inner(graph.node)
    for function in proto.functions:
        stack = list(_inner(function.node))
        while stack:
            graph = stack.pop()
            yield graph
            stack += _inner(graph.node)


def _inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def _sparse(graph: onnx.GraphProto) -> bool:
    return bool(graph.sparse_initializer) or any(
        attribute.HasField("sparse_tensor") for node in graph.node for attribute in node.attribute
    )


def _densify(graph: onnx.GraphProto) -> None:
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse))
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") and node.op_type == "Constant":
                tensor = _dense(attribute.sparse_tensor)
                attribute.CopyFrom(onnx.helper.make_attribute("value", tensor))


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    values = onnx.numpy_helper.to_array(sparse.values)
    indices = onnx.numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        array.reshape(-1)[indices] = values
    else:
        array[tuple(indices.T)] = values
    return onnx.numpy_helper.from_array(array, sparse.values.name)
