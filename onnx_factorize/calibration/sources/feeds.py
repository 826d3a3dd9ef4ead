"""Feeds that a program makes, as calibration data."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ...arrays import Arrays
from ...errors import InputError
from ...files.writing import scratch
from ..inputs.arrays import RaggedError, as_array
from ..inputs.labels import LABEL_KEYS
from ..inputs.signature import Signature
from .numpy_files import NumpySource

__all__ = ["FeedSource", "feeds_of"]


def feeds_of(data: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the feeds of an iterable of them, of a reader, or of one mapping of arrays.

    A `datasets.Dataset` is an iterable of feeds, and a `transformers.BatchEncoding` a mapping.

    Args:
        data: An iterable of feeds, an onnxruntime `CalibrationDataReader`, or a mapping from input
            names to arrays (a dictionary, a table with named columns), which is one feed.

    Raises:
        InputError: The data are several data sets by name.
    """
    if (
        isinstance(data, Mapping)
        and data
        and all(hasattr(d, "column_names") for d in data.values())
    ):
        names = ", ".join(f"'{name}'" for name in data)
        raise InputError(f"The calibration data have parts ({names}): give one of them.")
    if hasattr(data, "get_next"):
        yield from iter(data.get_next, None)
    elif isinstance(data, Mapping):
        yield data
    elif hasattr(data, "keys") and hasattr(data, "__getitem__"):
        yield {name: data[name] for name in data.keys()}  # noqa: SIM118 - a table is no mapping
    else:
        yield from data


def heads_of(feeds: Iterable[Any], signature: Signature) -> list[Arrays]:
    """The first feeds of the model's inputs, as arrays; none where that is no feed at all."""
    known = {spec.name for spec in signature.everything}
    by_rows = dataclasses.replace(signature, batched=True, batch=None)
    heads: list[Arrays] = []
    for feed in feeds:
        if not isinstance(feed, Mapping):
            return []
        named = {str(n): value for n, value in feed.items() if n in known and value is not None}
        try:
            heads.append({n: as_array(value, n) for n, value in named.items()})
        except RaggedError:
            rows = (_rows(named, by_rows) or [])[:2]
            heads += [{n: as_array(value, n) for n, value in row.items()} for row in rows]
        except InputError:
            return []
    return heads


class FeedSource(NumpySource):
    """Feeds that a program yields, spooled to disk so that they can be read again."""

    def __init__(
        self, feeds: Iterable[Mapping[str, Any]], signature: Signature, where: str, limit: int
    ) -> None:
        with scratch():
            self._folder = tempfile.TemporaryDirectory(prefix="onnx-factorize-")
        self._where = where
        self._origins: list[str] = []
        files: list[pathlib.Path] = []
        samples = 0
        for fitted, origin in self._conformed(feeds, signature):
            path = pathlib.Path(self._folder.name) / f"{len(files)}.npz"
            _write_arrays(path, fitted)
            files.append(path)
            self._origins.append(origin)
            rows = signature.rows({name: array.shape for name, array in fitted.items()})
            samples += 1 if rows is None else rows
            if samples >= limit:
                break
        super().__init__(files, signature)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: the folder stays this one's, and goes with it."""
        return super().__getstate__() | {"_folder": None}

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Rows of a feed."""
        arrays, _ = super().read(record, start, stop)
        return arrays, self._origins[record]

    def _conformed(
        self, feeds: Iterable[Mapping[str, Any]], signature: Signature
    ) -> Iterator[tuple[Arrays, str]]:
        """Yields feeds as the model wants them, and where each comes from."""
        for index, feed in enumerate(feeds):
            origin = f"{self._where}, feed {index}"
            if not isinstance(feed, Mapping):
                names = ", ".join(f"'{spec.name}'" for spec in signature.inputs)
                raise InputError(
                    f"{self._where} yields {type(feed).__name__}; each feed must be a mapping from "
                    f"input names ({names}) to arrays."
                )
            named = {str(name): array for name, array in feed.items()}
            try:
                yield signature.conform(named, origin), origin
            except RaggedError:
                rows = _rows(named, signature)
                if rows is None:
                    raise
                for place, row in enumerate(rows):
                    yield signature.conform(row, f"{origin}, row {place}"), f"{origin}, row {place}"


def _rows(feed: Mapping[str, Any], signature: Signature) -> list[dict[str, Any]] | None:
    """Each row of a feed whose rows differ in length; None where it has no rows."""
    if not signature.batched or signature.batch not in (None, 1):
        return None
    names = [spec.name for spec in signature.everything if feed.get(spec.name) is not None]
    divided = {n for n in names if n not in signature.shared}
    divided |= {key for key in LABEL_KEYS if feed.get(key) is not None}
    if not all(hasattr(feed[name], "__len__") for name in divided):
        return None
    lengths = {len(feed[name]) for name in divided}
    if len(lengths) != 1:
        return None
    kept = {name: feed[name] for name in names if name not in divided}
    return [{n: feed[n][row] for n in divided} | kept for row in range(lengths.pop())]


def _write_arrays(path: pathlib.Path, arrays: Arrays) -> None:
    """Writes a .npz file; unlike numpy's function it has no names of its own to clash with."""
    with scratch(), zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
