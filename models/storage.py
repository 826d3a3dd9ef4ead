"""Batches in ``.npz`` files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.session import Array


def save_part(folder: Path, **arrays: Array) -> None:
    """Write the next numbered file of a folder."""
    count = sum(1 for _ in folder.glob("*.npz"))
    np.savez_compressed(folder / f"{count:04}.npz", allow_pickle=False, **arrays)


def parts(folder: Path, limit: int | None = None) -> Iterator[dict[str, Array]]:
    """Yield the files of a folder in order, cut to `limit` rows in all.

    Args:
        folder: a folder that `save_part` filled with batches.
        limit: yield at most so many rows.
    """
    left = limit
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as data:
            arrays = {name: data[name][:left] for name in data.files}
        yield arrays
        if left is not None:
            left -= len(next(iter(arrays.values())))
            if left <= 0:
                return
