"""Image files as calibration data."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ...arrays import Arrays
from ...errors import InputError
from ...foreign import reading
from ...options import ImageOptions
from ..inputs import InputSpec, Signature
from .source import Source

__all__ = ["ImageSource"]

# Pillow's modes of more than 8 bits a pixel, all of them grey: 16 bits, 32 bits, floats.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


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
        self._white = _white(self._input)

    @property
    def records(self) -> int:
        """Number of files."""
        return len(self._files)

    def counts(self) -> list[int]:
        """One sample an image."""
        return [1] * len(self._files)

    def head(self, record: int) -> Arrays:
        """One image."""
        return self.read(record, 0, 1)[0]

    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:  # noqa: ARG002 - an image is one sample
        """One image as an array of one sample."""
        path = self._files[record]
        with reading(f"{path} cannot be read as an image"), warnings.catch_warnings():
            # Pillow remarks on large images and odd metadata, which are read all the same.
            warnings.simplefilter("ignore")
            try:
                pixels, white = self._pixels(path)
            except Image.DecompressionBombError:
                raise InputError(
                    f"{path} has more pixels than Pillow reads (PIL.Image.MAX_IMAGE_PIXELS); "
                    "scale it down, or leave it out."
                ) from None
        array = self._normalised(pixels, white, path)
        if self._layout == "NCHW":
            array = array.transpose(2, 0, 1)
        return {self._input.name: np.ascontiguousarray(array[None])}, str(path)

    def _pixels(self, path: pathlib.Path) -> tuple[npt.NDArray[np.float32], float]:
        """The pixels, shape (height, width, channels), and the value of white among them."""
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            grey, white = self._channels == 1, 255.0
            if upright.mode in _DEEP:
                # Pillow would cut these off at 255.
                converted, white, grey = *_deep(upright, path), True
            elif upright.mode == "P" and "transparency" in upright.info:
                converted = upright.convert("RGBA").convert("L" if grey else "RGB")
            else:
                converted = upright.convert("L" if grey else "RGB")
            height, width = self._size
            fitted = ImageOps.fit(converted, (width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted, dtype=np.float32).reshape(*self._size, -1)
        return np.repeat(pixels, self._channels, 2) if grey else pixels, white

    def _normalised(
        self, pixels: npt.NDArray[np.float32], white: float, path: pathlib.Path
    ) -> npt.NDArray[Any]:
        """The pixels in the type and range of the model's input."""
        wanted = self._input.dtype
        if wanted.kind not in "iu":
            mean = np.asarray(self._options.mean[: self._channels], np.float32)
            std = np.asarray(self._options.std[: self._channels], np.float32)
            scaled: npt.NDArray[Any] = ((pixels / white - mean) / std).astype(wanted)
            return scaled
        if self._white is None:
            if white != 255:
                raise InputError(
                    f"{path} has pixels of more than 8 bits, and what they are to a model whose "
                    f"input is {wanted} is not known; use .npz files, or images of 8 bits."
                )
            return pixels.astype(wanted)
        return np.rint(pixels.astype(np.float64) * (self._white / white)).astype(wanted)


def _deep(image: Image.Image, path: pathlib.Path) -> tuple[Image.Image, float]:
    """An image of more than 8 bits a pixel, as floats, and the value of white in it.

    Raises:
        InputError: Its pixels do not tell what white is.
    """
    values = np.asarray(image, np.float32)
    low, high = float(values.min()), float(values.max())
    white = 1.0 if image.mode == "F" else 65535.0
    if not (low >= 0 and high <= white):
        raise InputError(
            f"{path} has pixels from {low:g} to {high:g}, but images of {_called(image)} must be "
            f"within 0 and {white:g}; use .npz files, scaled as the model was trained."
        )
    return Image.fromarray(values), white


def _called(image: Image.Image) -> str:
    return "floats" if image.mode == "F" else "16 and 32 bits"


def _white(spec: InputSpec) -> float | None:
    """White to a model of unsigned pixels of 8 or 16 bits; None where it is not known.

    Raises:
        InputError: Pixels are nothing that could be fed to the model.
    """
    if spec.dtype in (np.uint8, np.uint16):
        return 255.0 if spec.dtype == np.uint8 else 65535.0
    if spec.dtype == np.int8 or spec.dtype.kind in "bcOSU":
        raise InputError(
            f"Images are numbers from 0 to 255, which the model's input '{spec.name}' of type "
            f"{spec.dtype} does not hold as they are; use .npz files, converted as the model was "
            "trained."
        )
    return None


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
