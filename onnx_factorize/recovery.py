"""Fine-tuning: what is asked for, the way to torch, and what became of it."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from .calibration import CalibrationData
from .errors import InputError
from .passes import OutputKind
from .progress import Progress

if TYPE_CHECKING:
    from .options import Options

__all__ = ["Epoch", "Recovery", "Training", "check_torch", "recover"]


@dataclasses.dataclass(frozen=True)
class Training:
    """For how long and how fast to train.

    Attributes:
        epochs: Times that the calibration samples are passed through, at most.
        learning_rate: The largest step of a weight, about.
    """

    epochs: int = 10
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError("--epochs must be at least 1.")
        if not 0 < self.learning_rate < 1:
            raise InputError("--lr must be above 0 and below 1.")


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass through the samples.

    Attributes:
        loss: Mean divergence of the batches while they were trained on, in nats.
        validation: Divergence of the samples that were not trained on, after the epoch.
        learning_rate: At the end.
    """

    loss: float
    validation: float
    learning_rate: float


@dataclasses.dataclass
class Recovery:
    """What became of it.

    Attributes:
        before: Divergence of the validation samples before training.
        after: The same of the state that was kept.
        best: The epoch whose state was kept; 0 for the start.
        epochs: What each epoch gave.
    """

    before: float
    after: float = float("nan")
    best: int = 0
    epochs: list[Epoch] = dataclasses.field(default_factory=list)


def check_torch() -> None:
    """Finds out, before minutes of work, whether torch is there.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError("--finetune needs torch: pip install 'onnx-factorize[train]'.")


def recover(
    dense: ir.Model,
    compressed: ir.Model,
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    options: Options,
    progress: Progress,
) -> Recovery:
    """Trains a compressed model towards the dense one; see `torch.trainer.finetune`."""
    # Only here does the pipeline need torch.
    from .torch.trainer import finetune, steps_of  # noqa: PLC0415

    with progress.stage("fine-tune", steps_of(data, options.training)) as advance:
        return finetune(
            dense,
            compressed,
            kinds,
            data,
            options.training,
            options.runtime,
            options.selection.seed,
            advance,
        )
