"""Files of calibration data: what paths, folders and patterns name, and in which form it is."""

from __future__ import annotations

import dataclasses
import functools
import glob
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from PIL import Image

from ..errors import InputError
from ..foreign import reading
from ..options import FileOptions
from .inputs.signature import Signature
from .sources import (
    ImageSource,
    NumpySource,
    ProtobufSource,
    Source,
    TextSource,
    TokenizedTexts,
)

__all__ = ["DataFiles", "calibration_files", "without_texts"]

Form = Literal["numpy", "protobuf", "images", "texts"]

_FORMS = (
    "a folder of .npz or .npy files, a .npz file, a folder with test_data_set_*/input_*.pb, a "
    "folder of images, a .txt file or a folder of them, or module:callable"
)

# What files of a form hold.
_HELD = {"numpy": "arrays", "protobuf": "tensors", "images": "images", "texts": "texts"}


@dataclasses.dataclass(frozen=True)
class DataFiles:
    """Files of one form, in the order in which they are read.

    Attributes:
        form: Their form.
        files: The files.
        name: What names them, for messages.
    """

    form: Form
    files: Sequence[pathlib.Path]
    name: str

    @classmethod
    def of(cls, calibration: Any) -> DataFiles | None:
        """The files that calibration data are in; None where a program makes them.

        Args:
            calibration: A path or a pattern such as `data/*.npz`, or a sequence of these; a folder
                stands for what is in it.

        Raises:
            InputError: Something is not there, cannot be read, or is of another form.
        """
        named = _named(calibration)
        if named is None:
            return None
        paths = [path for text in named for path in _paths(text, alone=len(named) == 1)]
        if not paths:
            return None
        with reading(f"{paths[0]} cannot be read"):
            found = [(path, *_files_in(path)) for path in dict.fromkeys(paths)]
        first, form, _ = found[0]
        for path, other, _ in found:
            if other != form:
                raise InputError(
                    f"{first} holds {_HELD[form]}, and {path} {_HELD[other]}: give data of one "
                    "form."
                )
        files = dict.fromkeys(file for _, _, files in found for file in files)
        return cls(form, list(files), str(first) if len(found) == 1 else f"{first}, …")

    def reader(self, options: FileOptions) -> Callable[[Signature], Source]:
        """What reads them for a signature."""
        if self.form == "texts":
            return functools.partial(TextSource, TokenizedTexts(self.files, options.texts))
        without_texts(options, f"{self.name} holds {_HELD[self.form].replace('tensors', 'arrays')}")
        if self.form == "numpy":
            return functools.partial(NumpySource, self.files)
        if self.form == "protobuf":
            folders = dict.fromkeys(file.parent for file in self.files)
            return functools.partial(ProtobufSource, list(folders))
        return functools.partial(ImageSource, self.files, options=options.images)


def calibration_files(calibration: Any) -> Sequence[pathlib.Path]:
    """The files that calibration data are read from; none for data that a function makes."""
    found = DataFiles.of(calibration)
    return () if found is None else found.files


def without_texts(options: FileOptions, reason: str) -> None:
    """Refuses options that would go without effect.

    Raises:
        InputError: One of text files is given.
    """
    given = options.texts.given
    if given:
        raise InputError(f"{given[0]} is for text files, and {reason}: leave it out.")


def _named(calibration: Any) -> list[str] | None:
    """The paths and patterns that are given; None where it is something else."""
    if isinstance(calibration, str | os.PathLike):
        return [os.fspath(calibration)]
    several = isinstance(calibration, list | tuple) and len(calibration) > 0
    if several and all(isinstance(each, str | os.PathLike) for each in calibration):
        return [os.fspath(each) for each in calibration]
    return None


def _paths(text: str, *, alone: bool) -> Iterator[pathlib.Path]:
    """Yields what a path or a pattern names; nothing where it names a function, alone.

    Raises:
        InputError: It is not there.
    """
    path = pathlib.Path(text)
    with reading(f"{path} cannot be read"):
        if path.exists():
            yield path
            return
    if glob.has_magic(text):
        found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - it may begin at a root
        if not found:
            raise InputError(f"No file matches {text}; --calib takes {_FORMS}.")
        yield from map(pathlib.Path, found)
        return
    module, colon, _ = text.rpartition(":")
    if not colon or "/" in module or len(module) < 2:
        raise InputError(f"{path} does not exist; --calib takes {_FORMS}.")
    if not alone:
        raise InputError(f"{text} makes data by itself: give it alone, or files.")


def _files_in(path: pathlib.Path) -> tuple[Form, list[pathlib.Path]]:
    """The form of the data in a file or folder, and its files.

    Raises:
        InputError: There is none.
    """
    if path.is_file():
        return _form_of(path), [path]
    if not os.access(path, os.R_OK | os.X_OK):
        raise InputError(f"{path} cannot be read: no permission to list what is in it.")
    # Hidden files are an editor's or a file system's copies of what the user means.
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    npz = [file for file in files if file.suffix == ".npz"]
    npy = [file for file in files if file.suffix == ".npy"]
    if npz or npy:
        return "numpy", npz or npy
    protobuf = [file for file in files if file.match("input_*.pb")]
    if protobuf:
        return "protobuf", protobuf
    known = _image_suffixes()
    pictures = [file for file in files if file.suffix.lower() in known]
    if pictures:
        return "images", pictures
    texts = [file for file in files if file.suffix == ".txt"]
    if texts:
        return "texts", texts
    what = "is empty" if not files else f"holds no calibration data ({files[0].name}, …)"
    raise InputError(f"{path} {what}; --calib takes {_FORMS}.")


def _form_of(file: pathlib.Path) -> Form:
    """The form of one file that is named by itself.

    Raises:
        InputError: It is of none.
    """
    if file.suffix in (".npz", ".npy"):
        return "numpy"
    if file.suffix == ".txt":
        return "texts"
    if file.match("input_*.pb"):
        return "protobuf"
    if file.suffix.lower() in _image_suffixes():
        return "images"
    raise InputError(f"{file} is neither .npz, .npy nor .txt; --calib takes {_FORMS}.")


def _image_suffixes() -> set[str]:
    return {ext for ext, form in Image.registered_extensions().items() if form in Image.OPEN}
