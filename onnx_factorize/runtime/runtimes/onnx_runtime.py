"""onnxruntime, with any of its execution providers."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort

from ...errors import InputError
from ...files.model_io import inlined, weight_bytes
from ...foreign import reading
from ..paging import LARGE, PagedModel
from ..session import Run, Runtime
from .registry import register

__all__ = ["OnnxRuntime"]


@register
@dataclasses.dataclass(frozen=True)
class OnnxRuntime(Runtime):
    """Runs models in onnxruntime; see `Runtime`.

    Attributes:
        plans_memory: Whether sessions lay out the memory of a run before the next one of the same
            shapes. That takes as much again as the first run did, and spares little time.
    """

    name: ClassVar[str] = "onnxruntime"

    plans_memory: bool = False

    def __post_init__(self) -> None:
        available = ort.get_available_providers()
        if self.provider not in available:
            raise InputError(
                f"The provider '{self.provider}' is not in this onnxruntime, which has "
                f"{', '.join(available)}."
            )
        if self.custom_ops:
            self._options()

    @property
    def version(self) -> str:
        """The version of onnxruntime."""
        return str(ort.__version__)

    @property
    def timed(self) -> OnnxRuntime:
        """The runtime with the memory that onnxruntime takes by default."""
        return dataclasses.replace(self, plans_memory=True)

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that times a run, in seconds.

        One thread of this processor is timed by what it computes, whatever else the machine does
        meanwhile. Windows counts that in ticks of 16 ms, which are too coarse.
        """
        alone = self.threads == 1 and self.provider == "CPUExecutionProvider"
        return time.thread_time if alone and os.name == "posix" else time.perf_counter

    def load(self, model: ir.Model) -> Run:
        """Loads a model; one with large weights leaves them on disk.

        Raises:
            InputError: A library of operators cannot be loaded.
            Exception: onnxruntime refuses the model.
        """
        options = self._options()
        if weight_bytes(model) > LARGE:
            paged = PagedModel(model, options)
            return _Loaded(paged.session(self.provider), paged)
        # In memory there is no folder that external weights could be beside.
        source = ir.to_proto(inlined(model)).SerializeToString()
        return _Loaded(ort.InferenceSession(source, options, [self.provider]))

    def cannot_draw(self, node: str) -> str:
        """A warning for the user: from opset 22 on there are no kernels that draw."""
        return (
            f"{self.name} {self.version} has no kernel for {node} at the model's opset: the model "
            "was analysed with numbers in its place, but what is written runs in it no more than "
            "the dense model does; export to opset 21 or lower for that."
        )

    def loader(
        self, model: ir.Model, changing: Collection[ir.Value]
    ) -> Callable[[Mapping[ir.Value, npt.NDArray[Any]]], Run]:
        """A function that loads a model with other contents of some of its initializers.

        The graph is serialized once, with weights that are said to be elsewhere; onnxruntime puts
        those that it is given in their place before it optimizes.
        """
        lent = [value for value in changing if _can_be_lent(value, model)]
        if weight_bytes(model) > LARGE or len(lent) < len(changing):
            return super().loader(model, changing)
        source = _without({value.name or "" for value in lent}, ir.to_proto(inlined(model)))
        dense = {value: _contents(value) for value in lent}

        def load(contents: Mapping[ir.Value, npt.NDArray[Any]]) -> Run:
            arrays = dense | dict(contents)
            values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
            options = self._options()
            options.add_external_initializers([value.name for value in arrays], values)
            return _Loaded(ort.InferenceSession(source, options, [self.provider]), values)

        return load

    def _options(self) -> ort.SessionOptions:
        """The session options that follow.

        Raises:
            InputError: A library of operators cannot be loaded.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = self.threads
        options.enable_mem_pattern = self.plans_memory
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for library in self.custom_ops:
            if not pathlib.Path(library).is_file():
                raise InputError(f"--custom-ops '{library}' is no file.")
            with reading(f"--custom-ops '{library}' cannot be loaded"):
                options.register_custom_ops_library(library)
        return options


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A session of onnxruntime, which borrows the weights that it was lent."""

    session: ort.InferenceSession
    lent: PagedModel | list[ort.OrtValue] | None = None

    def __call__(
        self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        values: Sequence[npt.NDArray[Any]] = self.session.run(names, feeds)
        return values


def _can_be_lent(value: ir.Value, model: ir.Model) -> bool:
    """Tells whether onnxruntime takes an initializer apart: of the main graph, in memory."""
    return (
        value.graph is model.graph
        and value.is_initializer()
        and not value.is_graph_input()
        and value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)
    )


def _contents(value: ir.Value) -> npt.NDArray[Any]:
    assert value.const_value is not None
    return np.ascontiguousarray(value.const_value.numpy())


def _without(names: Collection[str], proto: onnx.ModelProto) -> bytes:
    """A model of which some initializers are only named."""
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            for field in ("raw_data", "float_data", "double_data", "int32_data"):
                tensor.ClearField(field)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="lent")
    return bytes(proto.SerializeToString())
