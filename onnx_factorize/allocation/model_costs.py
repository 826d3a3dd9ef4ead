"""Costs of a model: constants, bytes, multiplications."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import onnx
import onnx_ir as ir

from ..calibration import Batch
from ..curve import Curve
from ..files import model_io
from ..files.sizes import serialized_size
from ..runtime.arithmetic import Arithmetic, count_arithmetic
from ..runtime.session import Runtime
from .storage import OneFile, Storage

__all__ = ["Costs", "Figures", "measure_costs"]


@dataclasses.dataclass
class Figures:
    """The costs of one model, as reports give them.

    Attributes:
        params: Constant elements.
        bytes: Size of its files.
        macs: Multiplications of its linear operators for one sample.
        latency_ms: Median time of one sample in onnxruntime.
        sha256: Of the model's file, if it is one.
        file: The name of that file.
    """

    params: int
    bytes: int
    macs: int | None = None
    latency_ms: float | None = None
    sha256: str | None = None
    file: str | None = None


@dataclasses.dataclass(frozen=True)
class Costs:
    """The costs of a model.

    Attributes:
        params: Constant elements.
        bytes: Size of its files.
        arithmetic: Multiplications of its linear operators for one sample.
        sha256: Of its file, None for a model in memory.
        latency_ms: Least time of one sample, None where no budget needs it.
        curves: Target or unfolding name to its latency at every rank, likewise.
        channels: By the name of channels the latency of all that shares them, at every width.
        file: The name of its file.
        storage: How what becomes of it will be written.
        hidden: Weights that a budget of targets counts though none of them can be cut.
    """

    params: int
    bytes: int
    arithmetic: Arithmetic
    sha256: str | None = None
    latency_ms: float | None = None
    curves: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    channels: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    file: str | None = None
    storage: Storage = dataclasses.field(default_factory=OneFile)
    hidden: int = 0

    def figures(self, latency_ms: float | None = None) -> Figures:
        """The costs as the report gives them."""
        return Figures(
            self.params, self.bytes, self.arithmetic.total, latency_ms, self.sha256, self.file
        )


def measure_costs(
    model: ir.Model,
    sample: Batch,
    runtime: Runtime,
    source: model_io.Model | None = None,
    location: str | None = None,
) -> Costs:
    """Measures what a model costs.

    Args:
        model: The model.
        sample: What to count the arithmetic on.
        runtime: How to run it.
        source: What it was read from, if anything.
        location: The name of the file beside it that will hold its weights, if any will.
    """
    size, digest, file = serialized_size(model, location), None, None
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source)
        beside = {pathlib.Path(tensor.path) for tensor in model_io.external_tensors(model)}
        size = sum(file.stat().st_size for file in (path, *beside))
        digest, file = model_io.sha256(path), path.name
    elif isinstance(source, onnx.ModelProto):
        size = min(size, source.ByteSize())
    return Costs(
        model_io.parameters(model),
        size,
        count_arithmetic(model, sample.feeds, runtime, sample.samples),
        digest,
        file=file,
    )
