"""The way in which a model will be written, and hence the bytes that its weights take."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import onnx_ir as ir

from ..files.sizes import serialized_size
from ..passes import Target

__all__ = ["External", "OneFile", "Storage"]


class Storage(Protocol):
    """The way in which a model is written."""

    @property
    def dense(self) -> int | None:
        """Bytes of the dense model written so; None where that is its own size."""

    @property
    def location(self) -> str | None:
        """The name of the file beside it that holds its weights; None for one file."""

    def bytes_per_weight(self, target: Target) -> float:
        """Bytes that a weight of a target, or of its factors, takes."""

    def size(self, model: ir.Model) -> int:
        """Bytes of a model's files."""


@dataclasses.dataclass(frozen=True)
class OneFile:
    """A model is written as it is, in one file; see `Storage`."""

    dense: int | None = None
    location: str | None = None

    def bytes_per_weight(self, target: Target) -> float:
        """Bytes of a weight as it is stored."""
        return target.itemsize

    def size(self, model: ir.Model) -> int:
        """Bytes of a model's files."""
        return serialized_size(model, self.location)


class External(OneFile):
    """Weights are in a file beside the model, as those of the dense model were."""

    @classmethod
    def of(cls, model: ir.Model, location: str) -> External:
        """The same for a dense model, and the name of the file."""
        return cls(serialized_size(model, location), location)
