"""Tell the forms of calibration data apart."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from PIL import Image

from ..arrays import Arrays
from ..errors import InputError
from ..foreign import reading, user_code
from ..options import FileOptions, Memory, Selection
from ..user_code import imported
from .batch_axis import axes_of, settled
from .dataset import CalibrationData
from .independence import Run
from .inputs.signature import Signature
from .masks import Padding, given_padding
from .polarity import found_padding
from .sources import (
    FeedSource,
    ImageSource,
    LaterSteps,
    NumpySource,
    ProtobufSource,
    Source,
    TextSource,
    TokenizedTexts,
    feeds_of,
    heads_of,
)

__all__ = ["Calibration", "calibration_files", "open_calibration"]

# What `calibration` may be: a path, "module:callable", feeds, or what makes them.
Calibration = str | os.PathLike[str] | Iterable[Mapping[str, Any]] | Callable[[], Any] | Any

# Records that are looked at before any is read as data.
_HEADS = 2

_FORMS = (
    "a folder of .npz or .npy files, a .npz file, a folder with test_data_set_*/input_*.pb, a "
    "folder of images, a .txt file or a folder of them, or module:callable"
)


def open_calibration(
    calibration: Calibration,
    signature: Signature,
    selection: Selection | None = None,
    files: FileOptions | None = None,
    *,
    run: Run | None = None,
    run_caches: Run | None = None,
    batch_axis: Mapping[str, Any] | None = None,
    mask: Mapping[str, Any] | None = None,
    memory: Memory | None = None,
) -> CalibrationData:
    """Opens calibration data of any form.

    Args:
        calibration: A path, `module:callable`, an iterable of feeds, one mapping from input names
            to arrays of many samples, an onnxruntime `CalibrationDataReader`, or a callable that
            makes one of the last three.
        signature: What the model wants to be fed.
        selection: Which samples to use.
        files: How images and texts become arrays.
        run: Runs the model on feeds, to check what its graph says of its inputs; None to take the
            graph's word.
        run_caches: Runs the model for the caches that it gives, to feed them to a branch of its own
            for later steps; None to leave that branch out.
        batch_axis: Input name to 0, if its first axis runs over samples, or None (or `none`), where
            what is found is wrong.
        mask: Input name to what numbers other than zero are in it: `keep` for data, `drop` for
            padding, `none` where it is no mask of positions.
        memory: What the data may take, and what is computed of them.

    Raises:
        InputError: Nothing is there, or it cannot be read.
    """
    selection = selection or Selection()
    given = axes_of(batch_axis or {})
    looked_at = _HEADS if run is not None or signature.fills else 0
    path = _path_of(calibration)
    files = files or FileOptions()
    source: Source
    if path is not None:
        source_for = _from_path(path, files)
        source = source_for(signature)
        heads = [source.head(i) for i in range(min(looked_at, source.records))]
        signature, axis = settled(_completed(signature, heads), heads, run, given)
        source = source_for(signature)
    else:
        _without_texts(files, "what is fed comes from a program")
        feeds, where = _made(calibration)
        stream = _iterate(feeds, where)
        first = list(itertools.islice(stream, looked_at))
        heads = heads_of(first, signature)
        signature, axis = settled(_completed(signature, heads), heads, run, given)
        stream = itertools.chain(first, stream)
        source = FeedSource(stream, signature, where, selection.samples)
        if not source.counts():
            raise InputError(f"{where} yields no feeds.")
    if run_caches is not None:
        source, signature = _of_both_branches(source, signature, run_caches, selection)
    data = CalibrationData(source, signature, selection, axis, memory)
    padding = given_padding(signature, mask or {})
    if padding is None and run is not None:
        padding = found_padding(signature, data.batches("calibration"), run, mask or {})
    data.padding = padding or Padding()
    return data


def _completed(signature: Signature, heads: Sequence[Arrays]) -> Signature:
    """The signature by which what the first record lacks is filled in."""
    return signature.lacking(heads[0].keys()) if heads and signature.fills else signature


def _of_both_branches(
    source: Source, signature: Signature, run: Run, selection: Selection
) -> tuple[Source, Signature]:
    """The data with steps of each branch, where a decoder has two and the data know of none."""
    by_row = signature.batched and signature.batch in (None, 1)
    if not by_row or not signature.fills.has_steps(signature.inputs):
        return source, signature
    feeds = LaterSteps(source, signature, run).feeds(selection.samples)
    fills = dataclasses.replace(signature.fills, later=True)
    signature = dataclasses.replace(signature, fills=fills)
    return FeedSource(feeds, signature, "calibration", selection.samples), signature


def _path_of(calibration: Calibration) -> pathlib.Path | None:
    """The file or folder that holds the data; None where a program makes them.

    Raises:
        InputError: It is not there.
    """
    if not isinstance(calibration, str | os.PathLike):
        return None
    text = os.fspath(calibration)
    path = pathlib.Path(text)
    with reading(f"{path} cannot be read"):
        if path.exists():
            return path
    module, colon, _ = text.rpartition(":")
    if not colon or "/" in module or len(module) < 2:
        raise InputError(f"{path} does not exist; --calib takes {_FORMS}.")
    return None


def _made(calibration: Calibration) -> tuple[Any, str]:
    """The data that a program makes, and their name."""
    if isinstance(calibration, str | os.PathLike):
        text = os.fspath(calibration)
        return _call(imported(text, "--calib"), text), text
    return calibration() if callable(calibration) else calibration, "calibration"


def calibration_files(calibration: str) -> list[pathlib.Path]:
    """The files that calibration data are read from; none for data that a function makes."""
    path = pathlib.Path(calibration)
    return _files_in(path)[1] if path.exists() else []


def _from_path(path: pathlib.Path, options: FileOptions) -> Callable[[Signature], Source]:
    """The data in a file or folder, as what reads them for a signature."""
    with reading(f"{path} cannot be read"):
        form, files = _files_in(path)
    if form == "numpy":
        _without_texts(options, f"{path} holds arrays")
        return functools.partial(NumpySource, files)
    if form == "protobuf":
        _without_texts(options, f"{path} holds arrays")
        return functools.partial(ProtobufSource, sorted({file.parent for file in files}))
    if form == "texts":
        return functools.partial(TextSource, TokenizedTexts(files, options.texts))
    _without_texts(options, f"{path} holds images")
    return functools.partial(ImageSource, files, options=options.images)


def _without_texts(options: FileOptions, reason: str) -> None:
    """Refuses options that would go without effect.

    Raises:
        InputError: One of text files is given.
    """
    given = options.texts.given
    if given:
        raise InputError(f"{given[0]} is for text files, and {reason}: leave it out.")


def _files_in(
    path: pathlib.Path,
) -> tuple[Literal["numpy", "protobuf", "images", "texts"], list[pathlib.Path]]:
    """The form of the data in a folder, and its files.

    Raises:
        InputError: There is none.
    """
    if path.is_file():
        if path.suffix == ".txt":
            return "texts", [path]
        if path.suffix not in (".npz", ".npy"):
            raise InputError(f"{path} is neither .npz, .npy nor .txt; --calib takes {_FORMS}.")
        return "numpy", [path]
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
    known = {ext for ext, form in Image.registered_extensions().items() if form in Image.OPEN}
    pictures = [file for file in files if file.suffix.lower() in known]
    if pictures:
        return "images", pictures
    texts = [file for file in files if file.suffix == ".txt"]
    if texts:
        return "texts", texts
    what = "is empty" if not files else f"holds no calibration data ({files[0].name}, …)"
    raise InputError(f"{path} {what}; --calib takes {_FORMS}.")


def _call(make: Callable[[], Any], where: str) -> Any:
    with user_code(f"--calib {where}"):
        return make()


def _iterate(feeds: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """Yields the feeds that a program makes, whatever it raises as one sentence."""
    with user_code(where):
        yield from feeds_of(feeds)
