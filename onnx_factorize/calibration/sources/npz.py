"""Reading rows of arrays in .npz and .npy files without loading the whole file."""

from __future__ import annotations

import math
import pathlib
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...foreign import reading

__all__ = ["ArrayFile", "open_arrays"]

_SKIP_BYTES = 1 << 22


class ArrayFile:
    """One array in a file, read in blocks of rows.

    Rows are read in one forward sweep: asking for rows behind the last ones opens the file again.

    Attributes:
        shape: The array's shape.
        dtype: Its type.
    """

    def __init__(self, opener: Callable[[], IO[bytes]], size: int, where: str) -> None:
        """Reads the header.

        Args:
            opener: Opens the file.
            size: Its bytes: a header may be damaged, and promise more.
            where: What it is, for the message of an error.

        Raises:
            InputError: It cannot be read.
        """
        self._opener = opener
        self._where = where
        self._stream: IO[bytes] | None = None
        self._row = 0
        with reading(f"{where} cannot be read"), opener() as stream:
            self.shape, self._fortran, self.dtype = _read_header(stream, where)
        if math.prod(self.shape) * self.dtype.itemsize > size:
            raise InputError(f"{where} is truncated.")

    @property
    def nbytes(self) -> int:
        """The bytes of the whole array in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows `start` to `stop` along axis 0."""
        if not self.shape or self._fortran:
            return self.whole()[start:stop]
        row_shape = self.shape[1:]
        row_bytes = math.prod(row_shape) * self.dtype.itemsize
        with reading(f"{self._where} cannot be read"):
            if self._stream is None or self._row > start:
                self.close()
                self._stream = self._opener()
                _read_header(self._stream, self._where)
                self._row = 0
            self._skip((start - self._row) * row_bytes)
            data = self._stream.read((stop - start) * row_bytes)
        if len(data) != (stop - start) * row_bytes:
            raise InputError(f"{self._where} is truncated.")
        self._row = stop
        return np.frombuffer(data, dtype=self.dtype).reshape(stop - start, *row_shape)

    def whole(self) -> npt.NDArray[Any]:
        """The whole array."""
        with reading(f"{self._where} cannot be read"), self._opener() as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
            return array

    def close(self) -> None:
        """Closes the file; a later read opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _skip(self, count: int) -> None:
        assert self._stream is not None
        while count > 0:
            got = len(self._stream.read(min(count, _SKIP_BYTES)))
            if not got:
                raise InputError(f"{self._where} is truncated.")
            count -= got


def open_arrays(path: pathlib.Path) -> dict[str, ArrayFile]:
    """The arrays in a .npz file by key, or the one in a .npy file under the key "".

    Raises:
        InputError: The file cannot be read, or holds pickled objects.
    """
    if path.suffix == ".npy":
        with reading(f"{path} cannot be read"):
            size = path.stat().st_size
        return {"": ArrayFile(lambda: path.open("rb"), size, str(path))}
    with reading(f"{path} cannot be read as .npz"), zipfile.ZipFile(path) as archive:
        members = {
            e.filename: e.file_size for e in archive.infolist() if e.filename.endswith(".npy")
        }

    def opener(member: str) -> Callable[[], IO[bytes]]:
        return lambda: zipfile.ZipFile(path).open(member)

    return {
        member.removesuffix(".npy"): ArrayFile(opener(member), size, f"{path}: '{member[:-4]}'")
        for member, size in members.items()
    }


def _read_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise InputError(f"{where} holds Python objects; save plain arrays.")
    if min(shape, default=0) < 0:
        raise InputError(f"{where} is damaged: its shape is {list(shape)}.")
    return shape, fortran, dtype
