"""Tell the forms of calibration data apart."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from PIL import Image

from ..errors import InputError
from ..user_code import imported
from .dataset import CalibrationData, Selection
from .signature import Signature
from .sources import (
    FeedSource,
    ImageOptions,
    ImageSource,
    NumpySource,
    ProtobufSource,
    Source,
    feeds_of,
)

__all__ = ["Calibration", "open_calibration"]

# What `calibration` may be: a path, "module:callable", feeds, or what makes them.
Calibration = str | os.PathLike[str] | Iterable[Mapping[str, Any]] | Callable[[], Any] | Any

_FORMS = (
    "a folder of .npz or .npy files, a .npz file, a folder with test_data_set_*/input_*.pb, a "
    "folder of images, or module:callable"
)


def open_calibration(
    calibration: Calibration,
    signature: Signature,
    selection: Selection | None = None,
    images: ImageOptions | None = None,
) -> CalibrationData:
    """Opens calibration data of any form.

    Args:
        calibration: A path, `module:callable`, an iterable of feeds, one mapping from input names
            to arrays of many samples, an onnxruntime `CalibrationDataReader`, or a callable that
            makes one of the last three.
        signature: What the model wants to be fed.
        selection: Which samples to use.
        images: How image files become arrays.

    Raises:
        InputError: Nothing is there, or it cannot be read.
    """
    selection = selection or Selection()
    source = _source(calibration, signature, selection, images or ImageOptions())
    return CalibrationData(source, signature, selection)


def _source(
    calibration: Calibration, signature: Signature, selection: Selection, images: ImageOptions
) -> Source:
    if isinstance(calibration, str | os.PathLike):
        text = os.fspath(calibration)
        path = pathlib.Path(text)
        if path.exists():
            return _from_path(path, signature, images)
        module, colon, _ = text.rpartition(":")
        if not colon or "/" in module or len(module) < 2:
            raise InputError(f"{path} does not exist; --calib takes {_FORMS}.")
        feeds, where = _call(imported(text, "--calib"), text), text
    else:
        feeds = calibration() if callable(calibration) else calibration
        where = "calibration"
    source = FeedSource(_iterate(feeds, where), signature, where, selection.samples)
    if not source.counts():
        raise InputError(f"{where} yields no feeds.")
    return source


def _from_path(path: pathlib.Path, signature: Signature, images: ImageOptions) -> Source:
    if path.is_file():
        if path.suffix not in (".npz", ".npy"):
            raise InputError(f"{path} is neither .npz nor .npy; --calib takes {_FORMS}.")
        return NumpySource([path], signature)
    # Hidden files are an editor's or a file system's copies of what the user means.
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    npz = [file for file in files if file.suffix == ".npz"]
    npy = [file for file in files if file.suffix == ".npy"]
    if npz or npy:
        return NumpySource(npz or npy, signature)
    protobuf = sorted({file.parent for file in files if file.match("input_*.pb")})
    if protobuf:
        return ProtobufSource(protobuf, signature)
    known = {ext for ext, form in Image.registered_extensions().items() if form in Image.OPEN}
    pictures = [file for file in files if file.suffix.lower() in known]
    if pictures:
        return ImageSource(pictures, signature, images)
    what = "is empty" if not files else f"holds no calibration data ({files[0].name}, …)"
    raise InputError(f"{path} {what}; --calib takes {_FORMS}.")


def _call(make: Callable[[], Any], where: str) -> Any:
    try:
        return make()
    except Exception as error:
        raise InputError(f"--calib {where} raised {type(error).__name__}: {error}.") from error


def _iterate(feeds: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """Yields the feeds that a program makes, whatever it raises as one sentence."""
    try:
        yield from feeds_of(feeds)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where} raised {type(error).__name__}: {error}.") from error
