"""A folder that appears whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from ..errors import InputError
from ..foreign import reading

__all__ = ["check_folder", "whole_folder"]


def check_folder(folder: pathlib.Path) -> None:
    """Finds out now what cannot be written, not after minutes of work.

    Raises:
        InputError: There is something already, or nothing can be written beside it.
    """
    with reading(f"{folder} cannot be written"):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; give a new folder.")
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty; give a new folder.")
        if not folder.parent.is_dir():
            raise InputError(f"{folder} cannot be written: there is no folder {folder.parent}.")
        if not os.access(folder.parent, os.W_OK | os.X_OK):
            raise InputError(
                f"{folder} cannot be written: no permission to write in {folder.parent}."
            )


@contextlib.contextmanager
def whole_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a folder to write to, which gets its name if nothing failed.

    Raises:
        InputError: Writing fails.
    """
    check_folder(folder)
    target = folder.absolute()
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        ) as temporary:
            made = pathlib.Path(temporary) / target.name
            made.mkdir()
            yield made
            if target.is_dir():  # empty, as was checked
                target.rmdir()
            made.replace(target)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}.") from error
