"""Writes a kit: what this machine would time, with programs that time it elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .._version import __version__
from ..allocation.model_costs import Costs
from ..calibration import Batch, Calibration, Signature
from ..calibration.zeros import zeros
from ..errors import InputError
from ..factorization.narrowing.narrowing import find_narrowings
from ..files import model_io
from ..files.digest import digest_of
from ..goals import timings
from ..options import Budget, Options
from ..outputs import counted, output_kinds
from ..passes import history
from ..preparation.open_data import open_data
from ..prepared import targets_of
from ..progress import Progress
from ..runtime.arithmetic import count_arithmetic
from ..runtime.latency_format import KIT, SAVED, SCHEMA
from ..runtime.paging import spill_large
from ..runtime.runtimes import runtime_of
from .folder import whole_folder
from .recorder import Recorder

__all__ = ["Kit", "write_check", "write_kit"]

_SCRIPTS = pathlib.Path(__file__).with_name("scripts")

_DENSE, _EMPTY, _FEEDS, _MANIFEST = "dense.onnx", "empty.onnx", "sample.npz", "manifest.json"


@dataclasses.dataclass(frozen=True)
class Kit:
    """A kit that was written.

    Attributes:
        families: Operators and neighbours of different kinds, forms or shapes.
        models: The small models.
        bytes: Those of the whole folder.
    """

    families: int
    models: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class _Dense:
    """The dense model of a kit.

    Attributes:
        source: What it was read from.
        model: The model.
        digest: Its digest.
        sample: What it is run on.
    """

    source: model_io.Model
    model: ir.Model
    digest: str
    sample: Batch

    @classmethod
    def read(
        cls, source: model_io.Model, calibration: Calibration | None, options: Options
    ) -> _Dense:
        """Reads the model, and a sample of its data."""
        model = model_io.load(source)
        digest = digest_of(model)
        spill_large(model)
        return cls(source, model, digest, _sample(model, calibration, options))

    def identity(self) -> dict[str, Any]:
        """What tells it from others: its contents, and its file if it is one."""
        if not isinstance(self.source, str | os.PathLike):
            return {"name": None, "digest": self.digest, "sha256": None}
        path = pathlib.Path(self.source)
        return {"name": path.name, "digest": self.digest, "sha256": model_io.sha256(path)}


def write_kit(
    source: model_io.Model,
    folder: str | os.PathLike[str],
    options: Options,
    progress: Progress,
    calibration: Calibration | None = None,
    *,
    with_dense: bool = False,
) -> Kit:
    """Writes the models that a budget of time would have timed on this machine.

    Args:
        source: The model.
        folder: Where to write; it appears whole or not at all.
        options: How the model is run; ranks and forms are all that may be chosen.
        progress: What is told how far the run is.
        calibration: Data for the shapes; zeros in place of them by default.
        with_dense: Whether the dense model is to be in it.

    Raises:
        InputError: The model or the data cannot be used, or the folder not be written.
    """
    options = dataclasses.replace(options, budget=Budget("latency", 0.5), factors="auto")
    with progress.stage("read"):
        dense = _Dense.read(source, calibration, options)
    with whole_folder(pathlib.Path(folder)) as made:
        recorder = Recorder(made)
        _record(dense.model, dense.sample, options, progress, recorder)
        if not recorder.families:
            raise InputError("None of the model's operators can be timed alone.")
        models: list[dict[str, Any]] = [{"name": "dense", "file": _DENSE if with_dense else None}]
        with progress.stage("write the kit"):
            return _finished(made, dense, models, recorder, options)


def write_check(
    source: model_io.Model,
    compressed: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    options: Options,
    progress: Progress,
    calibration: Calibration | None = None,
) -> Kit:
    """Writes a kit of whole models: what they take where their budgets of time are to hold.

    Args:
        source: The dense model.
        compressed: Models that were made of it by a latency profile.
        folder: Where to write; it appears whole or not at all.
        options: As for `write_kit`, and so are `progress` and `calibration`.
        progress: See there.
        calibration: See there.

    Raises:
        InputError: A model was not made so, or something cannot be read or written.
    """
    with progress.stage("read"):
        dense = _Dense.read(source, calibration, options)
        read = {str(path): model_io.load(path) for path in compressed}
    models: list[dict[str, Any]] = [{"name": "dense", "file": _DENSE}]
    for number, (path, model) in enumerate(read.items(), 1):
        saved = history(model).get(SAVED)
        if saved is None:
            raise InputError(
                f"{path} was not made with --latency-profile and a budget of latency: there is no "
                "prediction to verify."
            )
        name = f"{number:02d}-{pathlib.Path(path).name}"
        models.append({"name": name, "file": name, "saved": json.loads(saved)})
    with whole_folder(pathlib.Path(folder)) as made, progress.stage("write the kit"):
        for each, model in zip(models[1:], read.values(), strict=True):
            model_io.save(model, made / each["file"], external=model_io.is_external(model))
        return _finished(made, dense, models, Recorder(made), options)


def _finished(
    made: pathlib.Path,
    dense: _Dense,
    models: list[dict[str, Any]],
    recorder: Recorder,
    options: Options,
) -> Kit:
    """Writes what all kits hold, and the manifest at last."""
    recorder.write(_EMPTY, _empty(dense.model))
    recorder.finish()
    if models[0]["file"] is not None:
        away = model_io.is_external(dense.model)
        model_io.save(model_io.load(dense.source), made / _DENSE, external=away)
    feeds = dense.sample.feeds
    np.savez(made / _FEEDS, allow_pickle=False, **_plain(feeds))
    for script in _SCRIPTS.glob("[a-z]*.*"):
        shutil.copy(script, made)
    manifest = {
        "what": KIT,
        "schema": SCHEMA,
        "version": __version__,
        "model": dense.identity(),
        "opset": dense.model.opset_imports.get("", 0),
        "precision": _precision(dense.model),
        "threads": options.runtime.threads,
        "samples": dense.sample.samples,
        "shapes": {name: list(array.shape) for name, array in feeds.items()},
        "families": recorder.families,
        "whole": {"feeds": _FEEDS, "models": models},
        "files": {path.name: model_io.sha256(path) for path in sorted(made.iterdir())},
    }
    (made / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    size = sum(path.stat().st_size for path in made.iterdir())
    count = sum(len(family["files"]) for family in recorder.families)
    return Kit(len(recorder.families), count, size)


def _sample(dense: ir.Model, calibration: Calibration | None, options: Options) -> Batch:
    """What the model is run on, for the shapes of its operators."""
    if calibration is not None:
        return open_data(calibration, dense, options).typical("holdout")
    signature = Signature.of(dense)
    fills = signature.fills.names
    signature = signature.lacking({s.name for s in signature.inputs if s.name not in fills})
    return Batch(zeros(signature), signature.batch or 1, None, "zeros")


def _record(
    dense: ir.Model, sample: Batch, options: Options, progress: Progress, recorder: Recorder
) -> None:
    """Asks for all latencies that choices of ranks and channels may depend on."""
    runtime = runtime_of(options.runtime)
    with progress.stage("find targets"):
        outputs = counted(output_kinds(dense, options.outputs))
        normal, targets, _, _ = targets_of(dense, outputs, None, options)
        try:
            arithmetic = count_arithmetic(dense, sample.feeds, runtime, sample.samples)
        except InputError as error:
            if sample.origin != "zeros":
                raise
            raise InputError(
                "The model does not run on zeros, which stand in for data: give --calib."
            ) from error
    costs = Costs(0, 0, arithmetic)
    timings.timed_targets(costs, sample.samples, normal, targets, options, progress, recorder)
    narrowings, _ = find_narrowings(normal, targets)
    timings.timed_channels(costs, narrowings, normal, targets, sample, options, progress, recorder)


def _empty(model: ir.Model) -> ir.Model:
    """A model that does nothing: what a call of the runtime takes."""
    float_type = ir.TensorType(ir.DataType.FLOAT)
    x = ir.Value(name="x", shape=ir.Shape([1]), type=float_type)
    y = ir.Value(name="y", shape=ir.Shape([1]), type=float_type)
    node = ir.node("Identity", [x], outputs=[y])
    graph = ir.Graph(
        [x], [y], nodes=[node], opset_imports={"": model.opset_imports[""]}, name="empty"
    )
    return ir.Model(graph, ir_version=model.ir_version or 8)


def _plain(feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Arrays that can be read without running what they hold."""
    return {name: a.astype(str) if a.dtype.hasobject else a for name, a in feeds.items()}


def _precision(model: ir.Model) -> str:
    """The types of floating point in which it has its weights."""
    found = {tensor.dtype for tensor in model_io.tensors(model) if len(tensor.shape) > 1}
    return ", ".join(sorted(each.name.lower() for each in found if each.is_floating_point()))
