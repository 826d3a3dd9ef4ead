"""Samples as people know them: pictures and texts."""

from __future__ import annotations

import base64
import io
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..calibration import CalibrationData
from ..foreign import attempt

__all__ = ["Reader", "shown"]

# The longer side of a picture, in pixels, and the characters of a text.
_SIDE, _CHARACTERS = 96, 280

# A picture has at least so many pixels a side.
_LEAST = 8


class Reader:
    """Reads token ids as text, where a tokenizer is known."""

    def __init__(self, tokenizer: str | None) -> None:
        """Takes the file of a tokenizer; None for none."""
        self._file = tokenizer
        self._tokenizer: Any = None

    def text(self, ids: npt.NDArray[Any]) -> str | None:
        """The text of some token ids; None where they cannot be read."""
        if self._file is None:
            return None
        if self._tokenizer is None:
            self._tokenizer = attempt(self._load)
        if self._tokenizer is None:
            return None
        said = attempt(lambda: str(self._tokenizer.decode([int(i) for i in ids.ravel()])))
        if said is None:
            return None
        said = " ".join(said.split())
        return said if len(said) <= _CHARACTERS else f"{said[:_CHARACTERS]}…"

    def _load(self) -> Any:
        from tokenizers import Tokenizer  # noqa: PLC0415 - an extra

        path = pathlib.Path(str(self._file))
        return Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))


def shown(data: CalibrationData, index: int, reader: Reader) -> dict[str, str]:
    """The picture (`image`, a PNG as a data URI) or `text` of a held-out sample, where it is one.

    Args:
        data: The data.
        index: The sample's place among those that are held out.
        reader: Reads token ids.
    """
    unit = max(1, data.unit)
    only = np.arange(data.holdout_samples) // unit == index // unit
    batch = next(data.batches("holdout", 1, only))
    for array in batch.feeds.values():
        if array.ndim == 0 or array.shape[0] != batch.samples:
            continue
        own = array[index % unit if batch.samples > 1 else 0]
        if own.ndim == 1 and own.dtype.kind == "i" and len(own) > 1:
            text = reader.text(own)
            if text:
                return {"text": text}
        picture = _picture(own)
        if picture is not None:
            return {"image": picture}
    return {}


def _picture(array: npt.NDArray[Any]) -> str | None:
    """A small PNG of an array of shape (1 or 3, H, W) or (H, W, 1 or 3); None for others."""
    if array.ndim != 3 or array.dtype.kind not in "fu":
        return None
    if array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    height, width, channels = array.shape
    if channels not in (1, 3) or min(height, width) < _LEAST:
        return None
    pixels = array.astype(np.float64)
    low, high = pixels.min(), pixels.max()
    if not np.isfinite([low, high]).all() or high <= low:
        return None
    # However they were normalised: the darkest is black, the brightest white.
    grey = np.uint8(np.round(255 * (pixels - low) / (high - low)))
    image = Image.fromarray(grey[..., 0] if channels == 1 else grey)
    image.thumbnail((_SIDE, _SIDE))
    target = io.BytesIO()
    image.save(target, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"
