"""What statistics depend on: the model, the samples that were chosen, and some of the options."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from ._version import __version__
from .calibration import CalibrationData
from .errors import InputError
from .files.digest import digest_of
from .options import Options
from .statistics.part import Fingerprint

__all__ = ["check_same", "fingerprint_of"]

# Options that say how data are read, and what is observed of them, by name.
_ALL = ("weighting", "labels", "samples", "holdout", "seed", "outputs", "batch_axis", "mask")
_FILES = ("image_mean", "image_std", "image_layout", "image_size", "tokenizer", "length")


def fingerprint_of(model: ir.Model, data: CalibrationData, options: Options) -> Fingerprint:
    """The fingerprint of a calibration.

    Args:
        model: The dense model.
        data: Its calibration data.
        options: All options; what statistics do not depend on may differ.
    """
    said = {}
    for name in (*_ALL, *_FILES, "draws", "keep_subnormals"):
        named = Options.names()[name]
        holder = options if named.part is None else getattr(options, named.part)
        said[f"--{named.flag}"] = _text(getattr(holder, named.field))
    said["--effort"] = "low" if options.search_effort.judging == 1 else "normal or high"
    if options.texts.tokenizer is not None:
        said["--tokenizer"] = pathlib.PurePath(options.texts.tokenizer).name
    return Fingerprint(__version__, digest_of(model), _digest_of_data(data), said)


def check_same(found: Fingerprint, wanted: Fingerprint, name: str) -> None:
    """Refuses statistics of something else.

    Args:
        found: The fingerprint in a file.
        wanted: That of this run.
        name: The file.

    Raises:
        InputError: They differ.
    """
    other = wanted.differs(found)
    if other is not None:
        raise InputError(f"{name} is of {other}: calibrate again, or give what it was made with.")


def _digest_of_data(data: CalibrationData) -> str:
    found = hashlib.sha256(data.chosen.tobytes())
    sample = data.typical("calibration")
    for name, array in sorted(sample.feeds.items()):
        found.update(repr((name, str(array.dtype), array.shape)).encode())
        found.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
    return found.hexdigest()


def _text(value: Any) -> str:
    """An option as text that compares."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={one}" for key, one in sorted(value.items())) or "none"
    return str(value)
