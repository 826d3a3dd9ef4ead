"""Half precision by onnxruntime's own converter: float16 within, float32 at inputs and outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference
import onnx_ir as ir

from ..errors import InputError
from ..foreign import attempt
from ..passes import SortNodes

__all__ = ["in_half"]

# Half of the smallest number above zero.
_ROUNDS_TO_ZERO = 2.0**-25


def in_half(proto: onnx.ModelProto, kept: Sequence[str] = ()) -> onnx.ModelProto:
    """A model whose float32 numbers are float16, but for its inputs and outputs.

    Operators that onnxruntime has no kernel of that type for stay in float32, between casts.

    Args:
        proto: The model; it is changed.
        kept: Further operators that stay in float32.

    Raises:
        InputError: It holds no weights in float32, or types no longer agree in what the converter
            makes of it.
    """
    if not any(_is_weight(tensor) for tensor in _tensors(proto.graph)):
        raise InputError(
            "The model holds no weights in float32, and --quantize fp16 would change nothing: "
            "leave it out."
        )
    # Imported here: it takes a while, and few need it.
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415 - slow to import
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )

    was_valid = _is_valid(proto)
    stays = [*DEFAULT_OP_BLOCK_LIST, *kept]
    exact = {name for node in _nodes(proto.graph) if node.op_type in stays for name in node.input}
    for tensor in _tensors(proto.graph):
        if _is_weight(tensor) and tensor.name not in exact:
            _drop_tiny(tensor)
    converted = convert_float_to_float16(proto, keep_io_types=True, op_block_list=stays)
    # Casts of the inputs stand at the end.
    model = ir.from_proto(converted)
    SortNodes()(model)
    made = ir.to_proto(model)
    _correct_types(made)
    if was_valid and not _is_valid(made):
        raise InputError(
            "The converter of onnxruntime does not get types right in float16 for this model; "
            "leave out --quantize fp16."
        )
    return made  # type: ignore[no-any-return]  # protobuf has no types


def _correct_types(proto: onnx.ModelProto) -> None:
    """Says of values what type they are now: around casts the converter leaves what they were."""
    said = list(proto.graph.value_info)
    del proto.graph.value_info[:]
    inferred = attempt(lambda: onnx.shape_inference.infer_shapes(proto))
    if inferred is None:
        return
    types = {each.name: each.type.tensor_type.elem_type for each in inferred.graph.value_info}
    for each in said:
        if each.name in types and each.type.HasField("tensor_type"):
            each.type.tensor_type.elem_type = types[each.name]
            proto.graph.value_info.append(each)


def _drop_tiny(tensor: onnx.TensorProto) -> None:
    """Makes 0 of numbers that round to it, which the converter would make larger.

    It keeps all that is not zero from becoming zero, for the sake of divisors: of a scale of 1e-30,
    as models have for channels that training switched off, that makes 6e-8, and noise of nothing.
    """
    array = onnx.numpy_helper.to_array(tensor)
    tiny = (array != 0) & (np.abs(array) <= _ROUNDS_TO_ZERO)
    if tiny.any():
        kept = onnx.numpy_helper.from_array(np.where(tiny, np.float32(0), array), tensor.name)
        tensor.CopyFrom(kept)


def _is_weight(tensor: onnx.TensorProto) -> bool:
    """Tells a tensor of weights from a number, which may be a divisor, or keep one from zero."""
    return tensor.data_type == onnx.TensorProto.FLOAT and math.prod(tensor.dims) > 1


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yields the constants of a graph, and of the graphs within."""
    yield from graph.initializer
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of a graph, and of the graphs within."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _is_valid(proto: onnx.ModelProto) -> bool:
    """Tells whether shapes and types of a model agree."""

    def check() -> bool:
        onnx.checker.check_model(proto, full_check=True)
        return True

    return attempt(check) is True
