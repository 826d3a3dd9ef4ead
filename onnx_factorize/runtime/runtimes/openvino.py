"""OpenVINO: results are timed and verified there, and models are analysed in onnxruntime."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...errors import InputError
from ...files.model_io import inlined
from ..session import Run, Runtime
from .onnx_runtime import OnnxRuntime
from .registry import register

__all__ = ["OpenVino"]

# The provider that stands for none being said, and what OpenVINO calls that device.
_DEFAULT, _PROCESSOR = "CPUExecutionProvider", "CPU"


@register
@dataclasses.dataclass(frozen=True)
class OpenVino(Runtime):
    """Times and verifies models in OpenVINO; see `Runtime`.

    Gradients and what is observed on the way are computed in onnxruntime, on the processor: those
    are other graphs than the user's, of operators that not every runtime has.

    `provider` is a device as OpenVINO calls it, such as GPU; the processor by default.
    """

    name: ClassVar[str] = "openvino"

    def __post_init__(self) -> None:
        if importlib.util.find_spec("openvino") is None:
            raise InputError(
                "--runtime openvino needs OpenVINO: python -m pip install "
                "'onnx-factorize[openvino]'."
            )
        if self.custom_ops:
            raise InputError("--custom-ops are libraries of onnxruntime: OpenVINO loads none.")
        available = importlib.import_module("openvino").Core().available_devices
        if self.device.partition(".")[0] not in (*available, "AUTO"):
            raise InputError(
                f"OpenVINO has no device '{self.device}' here, but {', '.join(available)}: name "
                "one as --provider, or leave that out."
            )

    @property
    def device(self) -> str:
        """The device, as OpenVINO calls it."""
        return _PROCESSOR if self.provider == _DEFAULT else self.provider

    @property
    def version(self) -> str:
        """The version of OpenVINO."""
        return str(importlib.import_module("openvino").__version__).partition("-")[0]

    @property
    def deployed(self) -> Runtime:
        """OpenVINO."""
        return _Deployed(self.device, self.threads)

    @property
    def timed(self) -> Runtime:
        """OpenVINO."""
        return self.deployed

    def conditions(self) -> dict[str, str | int]:
        """Those of OpenVINO."""
        return self.deployed.conditions()

    def load(self, model: ir.Model) -> Run:
        """Loads a model in onnxruntime, to analyse it."""
        return self._analysis.load(model)

    def loader(
        self, model: ir.Model, changing: Collection[ir.Value]
    ) -> Callable[[Mapping[ir.Value, npt.NDArray[Any]]], Run]:
        """A function that loads a model with other contents of some of its initializers."""
        return self._analysis.loader(model, changing)

    @property
    def _analysis(self) -> OnnxRuntime:
        return OnnxRuntime(threads=self.threads)


@dataclasses.dataclass(frozen=True)
class _Deployed(Runtime):
    """OpenVINO alone."""

    name: ClassVar[str] = OpenVino.name

    @property
    def version(self) -> str:
        """The version of OpenVINO."""
        return OpenVino.version.fget(self)  # type: ignore[attr-defined, no-any-return]

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that times a run, in seconds: one thread by what it computes.

        That thread is not always the one that asks, so those of the whole process count.
        """
        alone = self.threads == 1 and self.provider == _PROCESSOR and os.name == "posix"
        return time.process_time if alone else time.perf_counter

    def load(self, model: ir.Model) -> Run:
        """Loads a model.

        Raises:
            Exception: OpenVINO refuses it.
        """
        core = importlib.import_module("openvino").Core()
        # As exact as onnxruntime: processors that have bfloat16 would compute in that.
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if self.provider == _PROCESSOR:
            config["INFERENCE_PRECISION_HINT"] = "f32"
            if self.threads:
                config["INFERENCE_NUM_THREADS"] = self.threads
        source = ir.to_proto(inlined(model)).SerializeToString()
        request = core.compile_model(core.read_model(source), self.provider, config)
        named = {value.name for value in model.graph.inputs}
        return _Loaded(request.create_infer_request(), named)


class _Loaded:
    """A model compiled by OpenVINO."""

    def __init__(self, request: Any, inputs: Collection[str | None]) -> None:
        """Keeps what runs it.

        Args:
            request: The request.
            inputs: The inputs of the model; those that nothing reads are not OpenVINO's.
        """
        self._request, ports = request, request.get_compiled_model().inputs
        self._shapes = {name: port.partial_shape for port in ports for name in port.names}
        self._unread = {name for name in inputs if name not in self._shapes}

    def __call__(
        self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        fed = {name: array for name, array in feeds.items() if name not in self._unread}
        for name, array in fed.items():
            wanted = self._shapes.get(name)
            # It takes others, and computes something.
            if wanted is not None and not wanted.compatible(type(wanted)(list(array.shape))):
                raise ValueError(f"input '{name}' is of shape {wanted}, not {list(array.shape)}")
        self._request.infer(fed)
        return [np.array(self._request.get_tensor(name).data) for name in names]
