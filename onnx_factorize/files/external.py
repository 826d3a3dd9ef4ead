"""Weights that a model keeps in other files: where those are, and reading them from threads."""

from __future__ import annotations

import os
import pathlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..errors import InputError

__all__ = ["POINTER", "SharedTensor", "external_files", "locate"]

# What git keeps of a large file in its place, where Git LFS has not fetched it.
POINTER = b"version https://git-lfs"


class SharedTensor(ir.ExternalTensor):
    """A weight in a file, which is mapped once, whatever number of threads ask for it at a time.

    Its location is the whole path and its base folder is none: which files a model may name was
    checked when it was read (see `locate`).

    Attributes:
        folder: A temporary folder that lives as long as any tensor of it; None for a user's file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        offset: int,
        like: ir.TensorProtocol,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        """Notes where a tensor is.

        Args:
            path: The file.
            offset: Where in it the tensor begins, in bytes.
            like: A tensor of the same name, type and shape.
            folder: The temporary folder that the file is in, if it is in one.
        """
        shape = ir.Shape(like.shape.numpy())
        super().__init__(
            os.path.abspath(path),  # noqa: PTH100 - links are left to the system, as ever
            offset,
            like.nbytes,
            like.dtype,
            shape=shape,
            name=like.name or "",
            doc_string=like.doc_string,
            metadata_props=dict(like.metadata_props),
        )
        self.folder = folder
        self._reading = threading.Lock()

    def numpy(self) -> npt.NDArray[Any]:
        """The contents, mapped from the file."""
        with self._reading:
            return super().numpy()

    def __array__(self, dtype: Any = None) -> npt.NDArray[Any]:
        return self.numpy().__array__(dtype)

    def tobytes(self) -> bytes:
        """The bytes of the contents."""
        if not self.nbytes:
            return b""
        self.numpy()
        return super().tobytes()

    def release(self) -> None:
        """Keeps the mapping, which other models and threads may be reading.

        It goes with the last of them.
        """


def locate(model: ir.Model, source: pathlib.Path | None, name: str) -> None:
    """Finds the files that a model keeps weights in, and has them read from there.

    - A location is a path within the model's folder, as the model's name says it or, if that is a
      link, as the file behind the link says it. There it may be a link itself, to anywhere: caches
      of models consist of links.
    - A location that leads out of that folder by itself is refused: a model that was downloaded
      has no business with other files.

    Args:
        model: The model; it is changed.
        source: Its file; None for a model from memory, which brings its folders along, or means
            the current one.
        name: What to call the model in the message of an error.

    Raises:
        InputError: A file is missing, too short, or may not be read.
    """
    for tensor, replace in _external(model):
        if not isinstance(tensor, SharedTensor):
            replace(_located(tensor, source, name))


def external_files(model: ir.Model) -> set[pathlib.Path]:
    """The files that a model keeps weights in."""
    return {pathlib.Path(tensor.path) for tensor, _ in _external(model)}


def _external(
    model: ir.Model,
) -> Iterator[tuple[ir.ExternalTensor, Callable[[ir.TensorProtocol], None]]]:
    """Yields each weight that is in a file, and what puts another in its place."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value.const_value, _setter(value)
    bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for body in bodies:
        for node in body.all_nodes():
            for attribute in list(node.attributes.values()):
                if attribute.type == ir.AttributeType.TENSOR and isinstance(
                    attribute.value, ir.ExternalTensor
                ):
                    yield attribute.value, _attribute_setter(node, attribute.name)


def _setter(value: ir.Value) -> Callable[[ir.TensorProtocol], None]:
    def replace(tensor: ir.TensorProtocol) -> None:
        value.const_value = tensor

    return replace


def _attribute_setter(node: ir.Node, name: str) -> Callable[[ir.TensorProtocol], None]:
    def replace(tensor: ir.TensorProtocol) -> None:
        node.attributes[name] = ir.AttrTensor(name, tensor)

    return replace


def _located(
    tensor: ir.ExternalTensor, source: pathlib.Path | None, name: str
) -> ir.TensorProtocol:
    path = _path(tensor, source, name)
    if not tensor.nbytes:
        return ir.tensor(np.zeros(tensor.shape.numpy(), tensor.dtype.numpy()), name=tensor.name)
    offset = tensor.offset or 0
    wanted = max(tensor.nbytes, tensor.length or 0)
    if offset < 0 or (tensor.length is not None and tensor.length < tensor.nbytes):
        raise InputError(
            f"{name} says where '{tensor.name}' is in {path}, but that is no place for "
            f"{tensor.nbytes} bytes: the model is damaged."
        )
    if path.stat().st_size < offset + wanted:
        with path.open("rb") as file:
            pointer = file.read(len(POINTER)) == POINTER
        hint = ": it is a pointer of Git LFS, so fetch the file with `git lfs pull`"
        raise InputError(f"{name} keeps weights in {path}, which is truncated{hint * pointer}.")
    return SharedTensor(path, offset, tensor)


def _path(tensor: ir.ExternalTensor, source: pathlib.Path | None, name: str) -> pathlib.Path:
    """The file of a weight.

    Raises:
        InputError: There is none, or the model may not name it.
    """
    location = os.fspath(tensor.location)
    steps = pathlib.PurePath(os.path.normpath(location))
    if (steps.is_absolute() or steps.parts[:1] == ("..",)) and (
        source is not None or tensor.base_dir
    ):
        raise InputError(
            f"{name} keeps weights in {location}, outside its own folder: move that file beside "
            "the model, and name it so."
        )
    if source is None:
        folders = [pathlib.Path(tensor.base_dir)]
    else:
        folders = [source.parent, source.resolve().parent]
    path = next((path for path in (f / location for f in folders) if path.exists()), None)
    if path is None:
        said = f"{name} keeps weights in {folders[0] / location}, which does not exist"
        hint = "; give the model's path, or load its weights with it"
        raise InputError(f"{said}{hint if source is None else ''}.")
    if not path.is_file():
        raise InputError(f"{name} keeps weights in {path}, which is no file.")
    return path
