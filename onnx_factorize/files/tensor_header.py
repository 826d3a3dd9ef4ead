"""The name and the shape of a tensor in a protobuf file, without its numbers."""

from __future__ import annotations

import io
import pathlib
from typing import BinaryIO

__all__ = ["read_header"]

# Fields of onnx.TensorProto, and the wire types that they come in.
_DIMS, _NAME = 1, 8
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


def read_header(path: pathlib.Path) -> tuple[str, tuple[int, ...]]:
    """Reads the name and the shape of a tensor; what else is in the file is skipped.

    Raises:
        ValueError: The file is no protobuf message.
    """
    name, dims = "", []
    with path.open("rb") as file:
        while (tag := _varint(file)) is not None:
            field, wire = divmod(tag, 8)
            if wire == _VARINT:
                value = _whole(file)
                if field == _DIMS:
                    dims.append(value)
            elif wire == _LENGTH:
                size = _whole(file)
                if field == _NAME:
                    name = file.read(size).decode()
                elif field == _DIMS:
                    packed = io.BytesIO(file.read(size))
                    while (value_or_none := _varint(packed)) is not None:
                        dims.append(value_or_none)
                else:
                    file.seek(size, io.SEEK_CUR)
            elif wire in (_EIGHT, _FOUR):
                file.seek(8 if wire == _EIGHT else 4, io.SEEK_CUR)
            else:
                raise ValueError(f"wire type {wire}")
    return name, tuple(dims)


def _varint(file: BinaryIO) -> int | None:
    """The next number, seven bits a byte; None at the end of the file."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    if shift:
        raise ValueError("it ends within a number")
    return None


def _whole(file: BinaryIO) -> int:
    value = _varint(file)
    if value is None:
        raise ValueError("it ends before a number")
    return value
