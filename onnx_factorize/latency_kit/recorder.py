"""What this machine would time is written instead, for other devices."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from ..curve import Curve
from ..runtime.latency_source import Family, LatencySource
from .random_weights import RandomWeights

__all__ = ["Recorder", "described"]


class Recorder(LatencySource):
    """Writes the models of every family, alike ones once; it can tell no latency itself.

    Attributes:
        families: The description of each in the manifest.
    """

    verb: ClassVar[str] = "write"

    def __init__(self, folder: pathlib.Path) -> None:
        """Writes to a folder.

        Args:
            folder: The folder, which is there.
        """
        self._folder, self._weights = folder, RandomWeights(folder)
        self._labels: dict[str, list[str]] = {}
        self.families: list[dict[str, Any]] = []

    def curve(self, family: Family) -> Curve | None:
        """None: the models are written."""
        known = self._labels.get(family.key)
        if known is not None:
            known.append(family.label)
            return None
        models = family.build()
        if not models:
            return None
        number, labels = len(self.families), [family.label]
        names = [f"{number:03d}-{size}.onnx" for size in ("dense", *family.sizes)]
        for name, model in zip(names, models, strict=True):
            self.write(name, model)
        self._labels[family.key] = labels
        self.families.append(
            {
                "key": family.key,
                "labels": labels,
                "sizes": list(family.sizes),
                "files": names,
                "between": family.between,
                "inputs": described(family.feed()),
            }
        )
        return None

    def write(self, name: str, model: ir.Model) -> None:
        """Writes one model, with the shapes of its outputs."""
        lent = self._weights.lend(model)
        ShapeInferencePass()(lent)
        (self._folder / name).write_bytes(ir.to_proto(lent).SerializeToString())

    def finish(self) -> None:
        """Writes the weights that all models share."""
        self._weights.write()


def described(feeds: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    """The inputs that a runner is to make up: integers between the least and the largest seen."""
    found = []
    for name, array in feeds.items():
        spec: dict[str, Any] = {"name": name, "dtype": str(array.dtype), "shape": array.shape}
        if np.issubdtype(array.dtype, np.integer) and array.size:
            spec |= {"low": int(array.min()), "high": int(array.max())}
        found.append(spec)
    return found
