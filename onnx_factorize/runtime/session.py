"""Running models in onnxruntime."""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from ..errors import InputError
from ..files.model_io import inlined, weight_bytes
from ..foreign import reading
from ..options import Runtime
from ..passes import DRAWS, fixed_draws, random_nodes, with_outputs
from .paging import LARGE, PagedModel

__all__ = ["Session", "clock_of", "session_options"]

Arrays = dict[str, npt.NDArray[Any]]

# What feeds without keys are run with.
_NO_KEY = np.zeros(1, np.int64)


def clock_of(runtime: Runtime) -> Callable[[], float]:
    """What times a run, in seconds.

    One thread of this processor is timed by what it computes, whatever else the machine does
    meanwhile. Windows counts that in ticks of 16 ms, which are too coarse.
    """
    alone = runtime.threads == 1 and runtime.provider == "CPUExecutionProvider"
    return time.thread_time if alone and os.name == "posix" else time.perf_counter


def session_options(runtime: Runtime) -> ort.SessionOptions:
    """The session options that follow.

    Raises:
        InputError: There is no such provider, or a library of operators cannot be loaded.
    """
    available = ort.get_available_providers()
    if runtime.provider not in available:
        raise InputError(
            f"The provider '{runtime.provider}' is not in this onnxruntime, which has "
            f"{', '.join(available)}."
        )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = runtime.threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    for library in runtime.custom_ops:
        if not pathlib.Path(library).is_file():
            raise InputError(f"--custom-ops {library} is no file.")
        with reading(f"--custom-ops {library} cannot be loaded"):
            options.register_custom_ops_library(library)
    return options


class Session:
    """A model loaded in onnxruntime.

    What a model draws is fixed by the keys that it is fed as `DRAWS` (see `FixDraws`), one for each
    sample: so two models that are compared draw the same.

    Attributes:
        outputs: The names of the outputs that `run` returns.
        draws: The random nodes that were replaced.
        clock: What times a run.
    """

    def __init__(
        self,
        model: ir.Model,
        runtime: Runtime,
        outputs: Sequence[str] | None = None,
        *,
        drawing: bool = False,
    ) -> None:
        """Loads a model.

        Args:
            model: The model.
            runtime: How to run it.
            outputs: The outputs wanted, and other values of the main graph; all outputs by default.
            drawing: Whether to leave random nodes as they are.

        Raises:
            InputError: onnxruntime refuses the model, or it has no such value.
        """
        options = session_options(runtime)
        self.clock = clock_of(runtime)
        self.draws: tuple[str, ...] = () if drawing else tuple(random_nodes(model))
        given = model
        try:
            model = with_outputs(model, outputs or ())
        except KeyError as error:
            raise InputError(f"The model computes no value {error} to compare.") from error
        self._given = (given, runtime) if self.draws or model is not given else None
        model = fixed_draws(model) if self.draws else model
        self._keyed = any(value.name == DRAWS for value in model.graph.inputs)
        self._paged = PagedModel(model, options) if weight_bytes(model) > LARGE else None
        with reading("onnxruntime cannot load the model"):
            if self._paged is not None:
                self._session = self._paged.session(runtime.provider)
            else:
                # In memory there is no folder that external weights could be beside.
                source = ir.to_proto(inlined(model)).SerializeToString()
                self._session = ort.InferenceSession(source, options, [runtime.provider])
        self.outputs = list(outputs or (output.name for output in self._session.get_outputs()))

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], origin: str = "the data") -> Arrays:
        """Runs the model.

        Args:
            feeds: Input name to array.
            origin: Where the feeds come from, for the message of an error.

        Raises:
            InputError: The model fails on these feeds.
        """
        fed = {name: array for name, array in feeds.items() if name != DRAWS}
        if self._keyed:
            fed[DRAWS] = feeds.get(DRAWS, _NO_KEY)
        with reading(f"The model cannot be run on {origin}"):
            values = self._session.run(self.outputs, fed)
        return dict(zip(self.outputs, values, strict=True))

    @functools.cached_property
    def as_written(self) -> Session:
        """The model with its own outputs and random nodes, where onnxruntime can run those."""
        if self._given is None:
            return self
        try:
            return Session(*self._given, drawing=True)
        except InputError:
            return self

    @property
    def runs_as_written(self) -> bool:
        """Whether onnxruntime can run the model as it was given."""
        return self._given is None or self.as_written is not self
