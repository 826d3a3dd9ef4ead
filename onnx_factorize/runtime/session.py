"""Runtimes and sessions: the seam between the program and runtimes such as onnxruntime."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Arrays
from ..errors import InputError
from ..foreign import reading
from ..passes import DRAWS, fixed_draws, random_nodes, with_outputs

__all__ = ["Run", "Runtime", "Session"]


# From the names of outputs, and feeds by the names of inputs, to the values of those outputs.
Run = Callable[[Sequence[str], Mapping[str, npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]

# What feeds without keys are run with.
_NO_KEY = np.zeros(1, np.int64)


@dataclasses.dataclass(frozen=True)
class Runtime(abc.ABC):
    """A runtime, and how it is to run models.

    Attributes:
        name: What it is called in `--runtime`, in reports and in the cache of latencies.
        provider: An execution provider, where the runtime has several.
        threads: Threads of an operator, in training too; 0 leaves the choice to the runtimes.
        custom_ops: Libraries of operators of the user's own, as onnxruntime loads them.
    """

    name: ClassVar[str]

    provider: str = "CPUExecutionProvider"
    threads: int = 0
    custom_ops: tuple[str, ...] = ()

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """The version of the runtime's library."""

    @abc.abstractmethod
    def load(self, model: ir.Model) -> Run:
        """Loads a model whose outputs are all that will be asked for.

        Args:
            model: The model; it is not changed. Its weights may be in files.

        Raises:
            Exception: Anything, if the runtime refuses the model: `Session` says so.
        """

    def loader(
        self, model: ir.Model, changing: Collection[ir.Value]
    ) -> Callable[[Mapping[ir.Value, npt.NDArray[Any]]], Run]:
        """A function that loads a model with other contents of some of its initializers.

        A runtime that takes weights apart from a graph can do better than to load all again.

        Args:
            model: The model. It is changed from load to load.
            changing: The initializers.
        """
        dense = {value: value.const_value for value in changing}

        def load(contents: Mapping[ir.Value, npt.NDArray[Any]]) -> Run:
            for value, tensor in dense.items():
                value.const_value = tensor
            for value, array in contents.items():
                value.const_value = ir.tensor(array, dtype=value.dtype, name=value.name)
            return self.load(model)

        return load

    @property
    def timed(self) -> Runtime:
        """The runtime as its users have it, where this one is told to spare memory."""
        return self

    @property
    def deployed(self) -> Runtime:
        """The runtime that results are verified in; this one analyses models, if it is another."""
        return self

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that times a run, in seconds."""
        return time.perf_counter

    def session(
        self, model: ir.Model, outputs: Sequence[str] | None = None, *, drawing: bool = False
    ) -> Session:
        """Loads a model: see `Session`."""
        return Session(model, self, outputs, drawing=drawing)

    def cannot_draw(self, node: str) -> str:
        """A warning for the user of a model with a random node that the runtime cannot run."""
        return (
            f"{self.name} {self.version} cannot run {node}: the model was analysed with numbers in "
            "its place, but what is written runs in it no more than the dense model does."
        )

    def conditions(self) -> dict[str, str | int]:
        """The conditions that a latency depends on, besides the model and the machine."""
        return {
            "runtime": self.name,
            "version": self.version,
            "provider": self.provider,
            "threads": self.threads,
        }


class Session:
    """A model loaded in a runtime.

    What a model draws is fixed by the keys that it is fed as `DRAWS` (see `FixDraws`), one for each
    sample: so two models that are compared draw the same.

    Attributes:
        runtime: What runs it.
        outputs: The names of the outputs that `run` returns.
        draws: The random nodes that were replaced.
        clock: What times a run.
        reload: What loads it again once it was released; None if it cannot be released.
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
            runtime: What runs it.
            outputs: The outputs wanted, and other values of the main graph; all outputs by default.
            drawing: Whether to leave random nodes as they are.

        Raises:
            InputError: The runtime refuses the model, or it has no such value.
        """
        self.runtime, self.clock = runtime, runtime.clock
        self.draws: tuple[str, ...] = () if drawing else tuple(random_nodes(model))
        given = model
        try:
            model = with_outputs(model, outputs or ())
        except KeyError as error:
            raise InputError(f"The model computes no value {error} to compare.") from error
        as_given = not self.draws and model is given and runtime.timed == runtime
        self._given = None if as_given else (given, runtime.timed)
        model = fixed_draws(model) if self.draws else model
        self._keyed = any(value.name == DRAWS for value in model.graph.inputs)
        self.reload: Callable[[], Run] | None = functools.partial(runtime.load, model)
        with reading(f"{runtime.name} cannot load the model"):
            self._run: Run | None = self.reload()
        self.outputs = list(outputs or (output.name or "" for output in model.graph.outputs))

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
        if self._run is None:
            assert self.reload is not None
            self._run = self.reload()
        with reading(f"The model cannot be run on {origin}"):
            values = self._run(self.outputs, fed)
        return dict(zip(self.outputs, values, strict=True))

    def running(self, run: Run) -> Session:
        """The same session of another load of its model."""
        other = copy.copy(self)
        other._run, other.reload, other._given = run, None, None  # noqa: SLF001 - of its own class
        return other

    def release(self) -> None:
        """Lets go of what the runtime holds; the model is loaded again if anything is run.

        A runtime keeps at hand what its largest run took.
        """
        if self.reload is not None:
            self._run = None
        written = self.__dict__.get("as_written")
        if written is not None and written is not self:
            written.release()

    @functools.cached_property
    def as_written(self) -> Session:
        """The model as users run it: its own outputs and random nodes, where those can be run."""
        if self._given is None:
            return self
        try:
            return Session(*self._given, drawing=True)
        except InputError:
            # Another runtime's time must not pass for that of the one that was asked for.
            if not self.draws and type(self.runtime.timed) is not type(self.runtime):
                raise
            return self

    @property
    def runs_as_written(self) -> bool:
        """Tells whether the runtime can run the model as it was given."""
        return self._given is None or self.as_written is not self
