"""Tensors in the format of ONNX itself as calibration data."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import onnx

from ...arrays import Arrays
from ...files.tensor_header import read_header
from ...foreign import reading
from ..inputs.signature import Signature
from .source import Source

__all__ = ["ProtobufSource"]


class ProtobufSource(Source):
    """Folders `test_data_set_*` with `input_*.pb`, as the ONNX model zoo ships them."""

    def __init__(self, folders: Sequence[pathlib.Path], signature: Signature) -> None:
        self._folders = folders
        self._signature = signature
        self._counts: list[int] | None = None

    @property
    def records(self) -> int:
        """Number of folders."""
        return len(self._folders)

    def counts(self) -> list[int]:
        """Number of samples in each folder."""
        if self._counts is None:
            self._counts = []
            for index in range(len(self._folders)):
                rows = self._signature.rows(self._shapes(index))
                self._counts.append(1 if rows is None else rows)
        return self._counts

    def head(self, record: int) -> Arrays:
        """Every tensor in a folder."""
        return self._read_all(record)[0]

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Rows of every tensor in a folder."""
        arrays, origin = self._read_all(record)
        shared = self._signature.shared
        if self._signature.rows({name: array.shape for name, array in arrays.items()}) is None:
            return arrays, origin
        return {n: a if n in shared else a[start:stop] for n, a in arrays.items()}, origin

    def _shapes(self, record: int) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor in a folder; their numbers are not read."""
        shapes: dict[str, tuple[int, ...]] = {}
        for index, path in enumerate(self._files(record)):
            with reading(f"{path} cannot be read as an ONNX tensor"):
                name, shape = read_header(path)
            shapes[self._input(name, index)] = shape
        return shapes

    def _read_all(self, record: int) -> tuple[Arrays, str]:
        arrays: Arrays = {}
        for index, path in enumerate(self._files(record)):
            tensor = onnx.TensorProto()
            with reading(f"{path} cannot be read as an ONNX tensor"):
                tensor.ParseFromString(path.read_bytes())
                array = onnx.numpy_helper.to_array(tensor)
            arrays[self._input(tensor.name, index)] = array
        return arrays, str(self._folders[record])

    def _files(self, record: int) -> list[pathlib.Path]:
        files = self._folders[record].glob("input_*.pb")
        return sorted(files, key=lambda path: _natural(path.name))

    def _input(self, name: str, index: int) -> str:
        """The input that a tensor feeds: by its name, or by the number of its file."""
        names = [spec.name for spec in self._signature.inputs]
        return name if name in names or index >= len(names) else names[index]


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts input_10 after input_9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
