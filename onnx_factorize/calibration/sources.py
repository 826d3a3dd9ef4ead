"""Where calibration data come from: each form of `--calib` is a source of records."""

from __future__ import annotations

import abc
import dataclasses
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError
from .npz import ArrayFile, open_arrays
from .signature import LABEL_KEYS, InputSpec, Signature

__all__ = [
    "FeedSource",
    "ImageOptions",
    "ImageSource",
    "NumpySource",
    "ProtobufSource",
    "Source",
]

Arrays = dict[str, npt.NDArray[Any]]


class Source(abc.ABC):
    """A list of records, each holding one or more samples."""

    @abc.abstractmethod
    def counts(self) -> list[int]:
        """Number of samples in each record, without reading the data."""

    @abc.abstractmethod
    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Samples `start` to `stop` of a record, and where they come from (for messages)."""


class NumpySource(Source):
    """Files of .npz (keys are input names) or .npy (the model's only input)."""

    def __init__(self, files: Sequence[pathlib.Path], signature: Signature) -> None:
        self._files = files
        self._signature = signature
        self._open: tuple[int, dict[str, ArrayFile]] | None = None

    def counts(self) -> list[int]:
        """Number of samples in each file: the rows of its inputs, or 1 if taken whole."""
        return [self._count(index) for index in range(len(self._files))]

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Rows of every array in a file."""
        arrays = self._arrays(record)
        rows = self._rows(arrays)
        taken = {}
        for key, array in arrays.items():
            if key not in LABEL_KEYS and all(key != spec.name for spec in self._signature.inputs):
                continue
            by_rows = rows is not None and array.shape[:1] == (rows,)
            if key in LABEL_KEYS and rows is not None and not by_rows:
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
        if not self._signature.batched:
            return None
        for spec in self._signature.inputs:
            array = arrays.get(spec.name)
            if array is not None and (spec.dims is None or len(array.shape) == len(spec.dims)):
                return array.shape[0] if array.shape else None
        return None

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
        if len(names) != 1:
            raise InputError(
                f"{self._files[0]} is a .npy file, which feeds one input, but the model has "
                f"{len(names)} ({', '.join(names)}); use .npz files whose keys are these names."
            )
        return names[0]


class ProtobufSource(Source):
    """Folders `test_data_set_*` with `input_*.pb`, as the ONNX model zoo ships them."""

    def __init__(self, folders: Sequence[pathlib.Path], signature: Signature) -> None:
        self._folders = folders
        self._signature = signature
        self._counts: list[int] | None = None

    def counts(self) -> list[int]:
        """Number of samples in each folder."""
        if self._counts is None:
            self._counts = []
            for index in range(len(self._folders)):
                arrays, _ = self._read_all(index)
                first = next(iter(arrays.values()))
                divisible = self._signature.batched and first.ndim > 0
                self._counts.append(first.shape[0] if divisible else 1)
        return self._counts

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Rows of every tensor in a folder."""
        arrays, origin = self._read_all(record)
        if not self._signature.batched:
            return arrays, origin
        return {name: array[start:stop] for name, array in arrays.items()}, origin

    def _read_all(self, record: int) -> tuple[Arrays, str]:
        folder = self._folders[record]
        files = sorted(folder.glob("input_*.pb"), key=lambda path: _natural(path.name))
        arrays: Arrays = {}
        names = [spec.name for spec in self._signature.inputs]
        for index, path in enumerate(files):
            tensor = onnx.TensorProto()
            try:
                tensor.ParseFromString(path.read_bytes())
                array = onnx.numpy_helper.to_array(tensor)
            except Exception as error:  # protobuf raises types of its own
                raise InputError(f"{path} cannot be read as an ONNX tensor: {error}.") from error
            by_order = names[index] if index < len(names) else tensor.name
            arrays[tensor.name if tensor.name in names else by_order] = array
        return arrays, str(folder)


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """How image files become arrays.

    Images are converted to RGB (or grey, for one channel), resized so that the shorter side
    fits, cropped to the centre, divided by 255, then normalised.

    Attributes:
        mean: Subtracted, one number a channel, after division by 255.
        std: Divided by, likewise.
        layout: `NCHW`, `NHWC`, or None to read it off the model's input.
        size: Height and width; None to read them off the model's input.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    layout: Literal["NCHW", "NHWC"] | None = None
    size: tuple[int, int] | None = None


class ImageSource(Source):
    """Image files, one sample each."""

    def __init__(
        self, files: Sequence[pathlib.Path], signature: Signature, options: ImageOptions
    ) -> None:
        self._files = files
        if len(signature.inputs) != 1:
            raise InputError(
                f"{files[0].parent} holds images, but the model has {len(signature.inputs)} "
                "inputs; use .npz files whose keys are the inputs' names."
            )
        self._input = signature.inputs[0]
        self._options = options
        self._layout, self._channels, self._size = _image_layout(self._input, options)

    def counts(self) -> list[int]:
        """One sample an image."""
        return [1] * len(self._files)

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:  # noqa: ARG002 - an image is one sample
        """One image as an array of one sample."""
        path = self._files[record]
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image)
                converted = upright.convert("L" if self._channels == 1 else "RGB")
                height, width = self._size
                fitted = ImageOps.fit(converted, (width, height), Image.Resampling.BILINEAR)
        except (OSError, UnidentifiedImageError, ValueError) as error:
            raise InputError(f"{path} cannot be read as an image: {error}.") from error
        pixels = np.asarray(fitted, dtype=np.float32).reshape(*self._size, self._channels)
        if self._input.dtype.kind in "iu":
            array = pixels.astype(self._input.dtype)
        else:
            mean = np.asarray(self._options.mean[: self._channels], np.float32)
            std = np.asarray(self._options.std[: self._channels], np.float32)
            array = ((pixels / 255 - mean) / std).astype(self._input.dtype)
        if self._layout == "NCHW":
            array = array.transpose(2, 0, 1)
        return {self._input.name: np.ascontiguousarray(array[None])}, str(path)


class FeedSource(NumpySource):
    """Feeds that a program yields, spooled to disk so that they can be read again."""

    def __init__(
        self, feeds: Iterable[Mapping[str, Any]], signature: Signature, where: str, limit: int
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="onnx-factorize-")
        files = []
        samples = 0
        for index, feed in enumerate(feeds):
            if not isinstance(feed, Mapping):
                raise InputError(
                    f"{where} yields {type(feed).__name__}; each feed must be a mapping from "
                    "input names to arrays."
                )
            path = pathlib.Path(self._folder.name) / f"{index}.npz"
            fitted = signature.conform(
                {str(name): np.asarray(array) for name, array in feed.items()},
                f"{where}, feed {index}",
            )
            _write_arrays(path, fitted)
            files.append(path)
            samples += len(fitted[signature.inputs[0].name]) if signature.batched else 1
            if samples >= limit:
                break
        super().__init__(files, signature)
        self._where = where

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Rows of a feed."""
        arrays, _ = super().read(record, start, stop)
        return arrays, f"{self._where}, feed {record}"


def _write_arrays(path: pathlib.Path, arrays: Arrays) -> None:
    """Writes a .npz file; unlike numpy's function it has no names of its own to clash with."""
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"The calibration data cannot be kept in {path.parent}: {error.strerror or error}."
        ) from error


def _image_layout(spec: InputSpec, options: ImageOptions) -> tuple[str, int, tuple[int, int]]:
    """Layout, channels and size that an image input asks for."""
    dims = spec.dims
    if dims is None or len(dims) != 4:
        raise InputError(
            f"Images need an input of 4 axes, but '{spec.name}' is {spec.describe()}; "
            "use .npz files instead."
        )
    layout = options.layout or ("NHWC" if dims[3] in (1, 3) and dims[1] not in (1, 3) else "NCHW")
    channels, height, width = dims[1:] if layout == "NCHW" else (dims[3], dims[1], dims[2])
    if options.size is not None:
        height, width = options.size
    if not isinstance(height, int) or not isinstance(width, int):
        raise InputError(
            f"The model's input '{spec.name}' is {spec.describe()}, which leaves the size of the "
            "images open; give it with --image-size HEIGHTxWIDTH."
        )
    if channels not in (1, 3) and isinstance(channels, int):
        raise InputError(f"Images have 1 or 3 channels, but '{spec.name}' is {spec.describe()}.")
    count = channels if isinstance(channels, int) else 3
    for name, values in (("--image-mean", options.mean), ("--image-std", options.std)):
        if len(values) < count:
            raise InputError(f"{name} has {len(values)} numbers, but images have {count} channels.")
    if 0 in options.std:
        raise InputError("--image-std contains a zero, which nothing can be divided by.")
    return layout, count, (height, width)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts input_10 after input_9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
