"""Files of numpy as calibration data."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...arrays import Arrays
from ...errors import InputError
from ..inputs.labels import LABEL_KEYS
from ..inputs.signature import Signature
from .npz import ArrayFile, open_arrays
from .source import Source

__all__ = ["NumpySource"]


# What is read of an array above so many bytes, where its beginning is enough: so many rows.
_LARGE, _FIRST = 2**26, 32


class NumpySource(Source):
    """Files of .npz (keys are input names) or .npy (the model's only input)."""

    def __init__(self, files: Sequence[pathlib.Path], signature: Signature) -> None:
        self._files = files
        self._signature = signature
        self._open: tuple[int, dict[str, ArrayFile]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: files are opened there."""
        return self.__dict__ | {"_open": None}

    @property
    def records(self) -> int:
        """Number of files."""
        return len(self._files)

    def counts(self) -> list[int]:
        """Number of samples in each file: the rows of its inputs, or 1 if taken whole."""
        return [self._count(index) for index in range(len(self._files))]

    def head(self, record: int) -> Arrays:
        """Every array in a file; of large ones the first rows."""
        arrays = self._arrays(record)
        known = {spec.name for spec in self._signature.everything}
        return {
            name: array.whole() if array.nbytes <= _LARGE else array.read(0, _FIRST)
            for name, array in arrays.items()
            if name in known
        }

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Rows of every array in a file."""
        arrays = self._arrays(record)
        rows = self._rows(arrays)
        taken = {}
        known = {spec.name for spec in self._signature.everything}
        for key, array in arrays.items():
            if key not in LABEL_KEYS and key not in known:
                continue
            by_rows = rows is not None and array.shape[:1] == (rows,)
            by_rows = by_rows and key not in self._signature.shared
            alone = rows == 1 and not array.shape
            if key in LABEL_KEYS and rows is not None and not by_rows and not alone:
                raise InputError(
                    f"{self._files[record]}: '{key}' has shape {list(array.shape)}, but there are "
                    f"{rows} samples."
                )
            taken[key] = array.read(start, stop) if by_rows else array.whole()
        return taken or {key: np.empty(0) for key in arrays}, str(self._files[record])

    def _count(self, record: int) -> int:
        rows = self._rows(self._arrays(record))
        return 1 if rows is None else rows

    def _rows(self, arrays: Mapping[str, ArrayFile]) -> int | None:
        """Samples along axis 0, or None where the file is one indivisible feed."""
        return self._signature.rows({key: array.shape for key, array in arrays.items()})

    def _arrays(self, record: int) -> dict[str, ArrayFile]:
        if self._open is None or self._open[0] != record:
            if self._open is not None:
                for array in self._open[1].values():
                    array.close()
            arrays = open_arrays(self._files[record])
            if "" in arrays:
                arrays = {self._only_input(): arrays[""]}
            self._open = (record, arrays)
        return self._open[1]

    def _only_input(self) -> str:
        names = [spec.name for spec in self._signature.inputs]
        filled = self._signature.fills.names
        if len(names) > 1:
            names = [name for name in names if name not in filled] or names
        if len(names) != 1:
            raise InputError(
                f"{self._files[0]} is a .npy file, which feeds one input, but the model has "
                f"{len(names)} ({', '.join(names)}); use .npz files whose keys are these names."
            )
        return names[0]
