"""Times by a command of the user's own, which prints milliseconds."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..errors import InputError
from ..files import model_io
from .session import Run, Runtime

__all__ = ["MeasuredBy", "check_command"]

# What stands for the model's file, and for one of what it is fed, a .npz by the names of inputs.
_MODEL, _FEEDS = "{model}", "{feeds}"

# Runs of the command for one model; after that what they gave serves again.
_RUNS = 3

_SECONDS = 600

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def check_command(command: str) -> None:
    """Checks that a command takes a model.

    Raises:
        InputError: It does not.
    """
    if _MODEL not in command:
        raise InputError(f"--measure '{command}' does not say where the model goes: {_MODEL}.")
    try:
        shlex.split(command)
    except ValueError as error:
        raise InputError(f"--measure '{command}' is no command: {error}.") from error


@dataclasses.dataclass(frozen=True)
class MeasuredBy(Runtime):
    """A runtime of which the times are what a command says.

    Models are analysed and verified in the runtime, and never in what the command calls.

    Attributes:
        inner: The runtime.
        command: The command, with `{model}` where the file goes.
    """

    inner: Runtime | None = None
    command: str = ""

    @classmethod
    def of(cls, inner: Runtime, command: str) -> MeasuredBy:
        """A runtime, and the command.

        Raises:
            InputError: The command does not take a model.
        """
        check_command(command)
        return cls(inner.provider, inner.threads, inner.custom_ops, inner, command)

    @property
    def runtime(self) -> Runtime:
        """What runs models, where their time is not asked for."""
        assert self.inner is not None
        return self.inner

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the runtime."""
        return self.runtime.name

    @property
    def version(self) -> str:
        """The version of the runtime."""
        return self.runtime.version

    @property
    def deployed(self) -> Runtime:
        """What the runtime says, timed by the command."""
        return dataclasses.replace(self, inner=self.runtime.deployed)

    @property
    def timed(self) -> Runtime:
        """What the command times."""
        return _Timed(self.provider, self.threads, self.custom_ops, self.command)

    @property
    def clock(self) -> Callable[[], float]:
        """That of the runtime."""
        return self.runtime.clock

    def conditions(self) -> dict[str, str | int]:
        """Those of the runtime, and the command."""
        return {**self.runtime.conditions(), "measure": self.command}

    def cannot_draw(self, node: str) -> str:
        """What the runtime says."""
        return self.runtime.cannot_draw(node)

    def loader(
        self, model: ir.Model, changing: Collection[ir.Value]
    ) -> Callable[[Mapping[ir.Value, npt.NDArray[Any]]], Run]:
        """What the runtime does."""
        return self.runtime.loader(model, changing)

    def load(self, model: ir.Model) -> Run:
        """Loads a model in the runtime."""
        return self.runtime.load(model)


@dataclasses.dataclass(frozen=True)
class _Timed(Runtime):
    """A command as a runtime that computes nothing, and whose clock moves as the command says.

    Attributes:
        command: The command.
        spent: What all runs have taken, in seconds: one number.
    """

    name: ClassVar[str] = "--measure"

    command: str = ""
    spent: list[float] = dataclasses.field(default_factory=lambda: [0.0], compare=False)

    @property
    def version(self) -> str:
        """The command: it says no more of itself."""
        return self.command

    @property
    def clock(self) -> Callable[[], float]:
        """A clock that stands still but for what the command says."""
        return lambda: self.spent[0]

    def load(self, model: ir.Model) -> Run:
        """Writes a model to a file."""
        return _Command(model, self.command, self.spent)


class _Command:
    """A model in a file, which a command measures."""

    def __init__(self, model: ir.Model, command: str, spent: list[float]) -> None:
        """Writes the file.

        Args:
            model: The model.
            command: The command.
            spent: What its runs add to, in seconds.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="onnx-factorize-")
        self._model = pathlib.Path(self._folder.name) / "model.onnx"
        model_io.save(model, self._model)
        self._command, self._spent = command, spent
        self._found: list[float] = []
        self._runs = 0

    def __call__(
        self, names: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        if len(self._found) < _RUNS:
            self._found.append(self._measured(feeds))
        self._spent[0] += self._found[self._runs % len(self._found)]
        self._runs += 1
        return [np.zeros(0, np.float32)] * len(names)

    def _measured(self, feeds: Mapping[str, npt.NDArray[Any]]) -> float:
        """Runs the command: seconds.

        Raises:
            InputError: It fails, or prints no number.
        """
        places = {_MODEL: str(self._model)}
        if _FEEDS in self._command:
            fed = pathlib.Path(self._folder.name) / "feeds.npz"
            np.savez(fed, **feeds)  # type: ignore[arg-type]  # numpy's stub has another keyword
            places[_FEEDS] = str(fed)
        arguments = shlex.split(self._command)
        for place, path in places.items():
            arguments = [each.replace(place, path) for each in arguments]
        said = f"--measure '{self._command}'"
        try:
            done = subprocess.run(  # noqa: S603 - the user's own command
                arguments, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except OSError as error:
            raise InputError(f"{said} cannot be run: {error.strerror or error}.") from error
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{said} took more than {_SECONDS} s.") from error
        if done.returncode:
            why = (done.stderr.strip() or done.stdout.strip() or "it says nothing").split("\n")[-1]
            raise InputError(f"{said} ended with exit code {done.returncode}: {why.rstrip('.')}.")
        found = _NUMBER.findall(done.stdout)
        if not found or not float(found[-1]) > 0:
            raise InputError(f"{said} printed no milliseconds: its last number above 0 is taken.")
        return 1e-3 * float(found[-1])
