"""Arrays in one .npz file that are mapped into memory when it is read, with a description of them.

The file is one that `numpy.load` reads: members are stored as they are, not compressed. Each array
begins at a multiple of 64 bytes, so that it can be used where it lies in the file.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from ..arrays import AnyArray
from ..errors import InputError
from .writing import atomic_path

__all__ = ["read_arrays", "write_arrays"]

# The member that holds the description, as JSON.
_KEY = "format"

# Where arrays may begin, and the extra field that fills up to there (as Android's zipalign has it).
_ALIGNED = 64
_FILLING = 0xD935

# A local header of a zip archive, without names; and what large members add to it.
_HEADER, _LARGE = 30, 20

_DATE = (1980, 1, 1, 0, 0, 0)


def write_arrays(
    path: str | os.PathLike[str], description: Mapping[str, Any], arrays: Mapping[str, AnyArray]
) -> None:
    """Writes arrays to a file, which appears whole or not at all; the same make the same bytes.

    Args:
        path: The file.
        description: What they are, as JSON can hold it.
        arrays: Each by a name.

    Raises:
        InputError: Writing fails.
    """
    said = np.frombuffer(json.dumps(description).encode(), np.uint8)
    with (
        atomic_path(pathlib.Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, array in {_KEY: said, **arrays}.items():
            _write(archive, f"{name}.npy", np.asarray(array, order="C"))


def read_arrays(path: str | os.PathLike[str], what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what `write_arrays` wrote.

    Args:
        path: The file.
        what: What it should hold, for a message.

    Returns:
        The description, and the arrays: mapped, and copied where they are written to.

    Raises:
        InputError: The file cannot be read, or is of another kind.
    """
    try:
        with pathlib.Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            arrays = {
                member.filename.removesuffix(".npy"): _mapped(file, mapping, member.header_offset)
                for member in archive.infolist()
            }
        return json.loads(arrays.pop(_KEY).tobytes()), arrays
    except (KeyError, ValueError, EOFError, struct.error, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no {what} that this version can read.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _write(archive: zipfile.ZipFile, name: str, array: AnyArray) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    member = zipfile.ZipInfo(name, _DATE)
    assert archive.fp is not None
    begins = archive.fp.tell() + _HEADER + len(name.encode()) + _LARGE + 4 + header.tell()
    filling = -begins % _ALIGNED
    member.extra = struct.pack("<HH", _FILLING, filling) + bytes(filling)
    with archive.open(member, "w", force_zip64=True) as file:
        file.write(header.getvalue())
        if array.size:
            file.write(array.reshape(-1).view(np.uint8).data)


def _mapped(file: IO[bytes], mapping: mmap.mmap, member: int) -> AnyArray:
    """The array of a member whose header begins at so many bytes."""
    names = struct.unpack("<HH", mapping[member + 26 : member + _HEADER])
    file.seek(member + _HEADER + sum(names))
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(version)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran or dtype.hasobject:
        raise ValueError(dtype)
    count = int(np.prod(shape))
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(mapping, dtype, count, file.tell()).reshape(shape)
