"""Reading and writing models."""

from __future__ import annotations

import hashlib
import math
import os
import pathlib
import stat
from collections.abc import Callable, Iterator

import onnx
import onnx_ir as ir

from ..errors import InputError
from ..foreign import reading
from ..graph import scopes
from ..passes import RestoreMarks, SortNodes, UniqueNodeNames
from .external import POINTER, locate
from .protobuf import from_proto, restore_training
from .writing import Files, writing

__all__ = [
    "INLINE",
    "PROTOBUF_LIMIT",
    "Model",
    "check_file",
    "external_tensors",
    "inlined",
    "is_external",
    "load",
    "parameters",
    "save",
    "sha256",
    "tensors",
    "weight_bytes",
]

# A serialized protobuf ends at 2 GiB; names and shapes need some of it.
PROTOBUF_LIMIT = 2**31 - 2**26

# What a file in onnxruntime's own format has behind its first four bytes.
_ORT = b"ORTM"

# Tensors of no more bytes stay in the model's file where weights are beside it.
INLINE = 256

Model = str | os.PathLike[str] | onnx.ModelProto | ir.Model


def load(model: Model) -> ir.Model:
    """Reads a model from a file or takes one from memory; the original is never changed.

    Raises:
        InputError: The file is missing or is not an ONNX model.
    """
    loaded = _read(model)
    RestoreMarks()(loaded)
    UniqueNodeNames()(loaded)  # onnxruntime refuses to run a graph in which two nodes share a name
    return loaded


def _read(model: Model) -> ir.Model:
    name, path = "The model", None
    if isinstance(model, ir.Model):
        with reading("The model cannot be read"):
            loaded = model.clone()
    elif isinstance(model, onnx.ModelProto):
        with reading("The model cannot be read"):
            loaded = from_proto(model)
    else:
        path = pathlib.Path(model)
        name = str(path)
        check_file(path)
        _check_format(path)
        with reading(f"{path} cannot be read as an ONNX model (is it complete?)"):
            loaded = from_proto(onnx.load(path, load_external_data=False))
    if not loaded.graph.outputs:
        raise InputError(f"{name} is not an ONNX model: it has no outputs.")
    _check_complete(loaded, name)
    try:
        SortNodes()(loaded)
    except ValueError as error:
        circle = "nodes that read, or functions that call, one another in a circle"
        raise InputError(f"{name} holds {circle}.") from error
    locate(loaded, path, name)
    return loaded


def check_file(path: pathlib.Path) -> None:
    """Checks that a model's file is there.

    Raises:
        InputError: It is missing, out of reach, a folder, or a device.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} does not exist.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; give the .onnx file in it.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a pipe or a device, which can be read but once: give a file.")


def _check_format(path: pathlib.Path) -> None:
    """Refuses files that are known to be something else, and says what to do."""
    with reading(f"{path} cannot be read"), path.open("rb") as file:
        head = file.read(len(POINTER))
    if head[4:8] == _ORT:
        raise InputError(
            f"{path} is in onnxruntime's own format, which has no weights to replace: give the "
            ".onnx file that it was made from."
        )
    if head == POINTER:
        raise InputError(
            f"{path} is a pointer of Git LFS, and no model: fetch that with `git lfs pull`."
        )


def _check_complete(model: ir.Model, name: str) -> None:
    """Checks that something gives every value that is read, and that values have types."""
    for given in model.graph.inputs:
        if given.dtype == ir.DataType.UNDEFINED:
            raise InputError(f"{name} is damaged: its '{given.name}' has no type.")
    for tensor in tensors(model):
        if tensor.dtype == ir.DataType.UNDEFINED:
            raise InputError(f"{name} is damaged: its constant '{tensor.name}' has no type.")
    for node in model.graph.all_nodes():
        for value in node.inputs:
            if value is not None and value.producer() is None and value.graph is None:
                raise InputError(
                    f"{name} reads '{value.name}', which nothing gives: it is incomplete."
                )


def save(
    model: ir.Model,
    path: str | os.PathLike[str],
    *,
    external: bool = False,
    beside: Callable[[pathlib.Path, Files], None] = lambda *_: None,
) -> None:
    """Writes a model; the file appears whole or not at all.

    Args:
        model: The model.
        path: The .onnx file to write.
        external: Whether to write weights beside it, to `NAME.data`. Models beyond protobuf's
            limit are written so in any case.
        beside: Called with the whole file before it appears under its name, and with what collects
            files that are to appear with it; if it fails, nothing appears.

    Raises:
        InputError: The file cannot be written.
    """
    target = pathlib.Path(path)
    external = external or weight_bytes(model) >= PROTOBUF_LIMIT
    with writing() as files:
        if external:
            # The model names its data file: both are made elsewhere under the names they will have.
            data = f"{target.name}.data"
            whole = files.folder(target) / target.name
            ir.save(
                model, whole, format="protobuf", external_data=data, size_threshold_bytes=INLINE
            )
            proto = onnx.load(whole, load_external_data=False)
            if (whole.parent / data).exists():
                files.adopt(whole.parent / data, target.with_name(data))
            files.adopt(whole, target)
        else:
            proto = ir.to_proto(inlined(model))
            whole = files.path(target)
        restore_training(model, proto)
        whole.write_bytes(proto.SerializeToString())
        beside(whole, files)


def inlined(model: ir.Model) -> ir.Model:
    """The model with its weights in memory, if any are external."""
    away = any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors(model))
    return ir.external_data.load_to_model(model.clone()) if away else model


def is_external(model: ir.Model) -> bool:
    """Tells whether a user keeps some weights in other files."""
    return any(True for _ in external_tensors(model))


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with pathlib.Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Yields every constant tensor: initializers and Constant nodes, in all graphs."""
    for body in (model.graph, *(function.graph for function in model.functions.values())):
        for graph, _ in scopes(body):
            for value in graph.initializers.values():
                if value.const_value is not None:
                    yield value.const_value
            for node in graph:
                attribute = node.attributes.get("value") if node.op_type == "Constant" else None
                # Not `as_tensor`, which checks against a typing protocol, method by method.
                if attribute is not None and not attribute.is_ref():
                    yield attribute.value


def parameters(model: ir.Model) -> int:
    """Number of constant elements in the model."""
    return sum(math.prod(tensor.shape.numpy()) for tensor in tensors(model))


def weight_bytes(model: ir.Model) -> int:
    """Bytes of all constant tensors in the model."""
    return sum(tensor.nbytes for tensor in tensors(model))


def external_tensors(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    """Yields the constant tensors that a user keeps in other files."""
    for tensor in tensors(model):
        if isinstance(tensor, ir.ExternalTensor) and getattr(tensor, "folder", None) is None:
            yield tensor
