"""Training that may be interrupted: all of its state in one safetensors file, whole or not there.

The state of an optimizer and of torch's random numbers are tensors, and what is none is text: no
pickle is needed, and one file cannot disagree with another.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..files.writing import atomic_path
from ..foreign import reading
from .training import Epoch, Recovery, Thresholds

__all__ = ["SECONDS", "Checkpoint", "Position"]

# The least time from one writing to the next within an epoch.
SECONDS = 60.0


@dataclasses.dataclass
class Position:
    """The place that training has come to.

    Attributes:
        recovery: What the epochs that are over gave.
        steps: Steps of the optimizer.
        batches: Batches of the current epoch that were trained on.
        samples: Their samples.
        loss: Their divergence, summed over samples, in nats.
        scale: What the learning rate was slowed down by.
        stepper: The state of what is put around the optimizer, as plain data.
    """

    recovery: Recovery
    steps: int = 0
    batches: int = 0
    samples: int = 0
    loss: float = 0.0
    scale: float = 1.0
    stepper: dict[str, Any] = dataclasses.field(default_factory=dict)


class Checkpoint:
    """The file that training is kept in.

    Args:
        path: The .safetensors file.
        run: What this training is, as plain data: only the same continues.
        seconds: The least time from one writing to the next.
    """

    def __init__(self, path: pathlib.Path, run: Mapping[str, Any], seconds: float) -> None:
        self._path = path
        self._run = json.dumps(run, sort_keys=True)
        self._seconds = seconds
        self._last = time.monotonic()

    def load(self) -> tuple[Position, dict[str, Tensor]] | None:
        """Loads the state that an earlier run left; None if there is none.

        Raises:
            InputError: The file cannot be read, or is of another training.
        """
        if not self._path.exists():
            return None
        with (
            reading(f"--checkpoint '{self._path}' cannot be read"),
            safe_open(self._path, "pt") as file,
        ):
            text = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if text.get("run") != self._run:
            raise InputError(
                f"--checkpoint '{self._path}' is of another training (model, data or options "
                "differ), or of another version: remove it, or name another file."
            )
        with reading(f"--checkpoint '{self._path}' cannot be read (it is damaged: remove it)"):
            position = json.loads(text["position"])
            recovery = position.pop("recovery")
            recovery["epochs"] = [Epoch(**epoch) for epoch in recovery["epochs"]]
            recovery["svt"] = [Thresholds(**epoch) for epoch in recovery["svt"]]
            return Position(Recovery(**recovery), **position), tensors

    @property
    def due(self) -> bool:
        """Tells whether the last writing was long enough ago."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, position: Position, tensors: Mapping[str, Tensor]) -> None:
        """Writes the state.

        Args:
            position: How far training has come.
            tensors: Everything else, by name.

        Raises:
            InputError: Writing fails.
        """
        text = {"run": self._run, "position": json.dumps(dataclasses.asdict(position))}
        whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        with atomic_path(self._path) as temporary:
            try:
                save_file(whole, temporary, metadata=text)
            except SafetensorError as error:  # of a full disk, too
                raise OSError(str(error)) from error
        self._last = time.monotonic()
