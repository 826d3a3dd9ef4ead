"""Training of the result, as the user asks for it."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable
from typing import Literal, get_args

from ..errors import InputError
from .fields import option

__all__ = ["Precision", "SVTKind", "Training", "without_training"]

Precision = Literal["float32", "bfloat16"]
SVTKind = Literal["none", "soft", "reweighted", "hard"]

# Fields that the command line calls otherwise.
_OPTIONS = {"learning_rate": "lr"}

_SAFETENSORS = ".safetensors"

# Half of them bring the ranks down, half tune what is left.
_LEAST_EPOCHS = 2


@dataclasses.dataclass(frozen=True)
class Training:
    """For how long and how fast to train.

    Attributes:
        epochs: Times that the calibration samples are passed through, at most.
        learning_rate: The largest step of a weight, about.
        checkpoint: The .safetensors file that training is kept in and continued from, if any.
        svt: How ranks come down from more than the plan's in the first half of the epochs: `soft`,
            `hard` or `reweighted` singular value thresholding; `none`: they are the plan's.
        label_share: The weight of labels that come with the data, from 0 to 1; the dense model's
            answers have the rest.
        hidden: The weight of what the targets compute within the graph, beside what the model
            answers: see `finetune.teacher`.
        augment: `module:callable` that changes samples before they are trained on; see
            `augmentation`.
        device: Where to train, as torch calls it: `cpu`, `cuda`, `cuda:1` …
        precision: What matrix products and convolutions are computed in while training; weights,
            and what validates them, are float32 in any case.
    """

    epochs: int = option(10, "Passes of --finetune, at most.")
    learning_rate: float = option(5e-4, "Learning rate of --finetune.", flag="lr")
    checkpoint: str | None = option(
        None,
        "Keep the training of --finetune in FILE.safetensors, and continue from there.",
        metavar="FILE",
    )
    svt: SVTKind = option(
        "none",
        "Find ranks in the first half of --epochs, by singular value thresholding.",
        closed=True,
    )
    label_share: float = option(
        0.0, "Weight in --finetune of the data's labels, beside MODEL's answers."
    )
    hidden: float = option(
        0.0, "Weight in --finetune of what operators compute, beside MODEL's answers."
    )
    augment: str | None = option(
        None,
        "Changes the samples of --finetune at random: from feeds and a numpy generator to feeds.",
        metavar="MODULE:CALLABLE",
    )
    device: str = option("cpu", "Where --finetune trains.")
    precision: Precision = option(
        "float32",
        "Of matrix products in --finetune; bfloat16 is faster where hardware has it.",
        closed=True,
    )

    @property
    def finds_ranks(self) -> bool:
        """Tells whether ranks are found while training, by thresholding."""
        return self.svt != "none"

    @property
    def repeats(self) -> bool:
        """Tells whether the dense model's outputs for a sample, no more, are asked for again."""
        return self.epochs > 1 and not self.hidden and self.augment is None

    @property
    def plan_checkpoint(self) -> str | None:
        """The checkpoint of the plan's factors, trained where thresholding found worse."""
        if self.checkpoint is None:
            return None
        return f"{self.checkpoint.removesuffix(_SAFETENSORS)}.plan{_SAFETENSORS}"

    @property
    def checkpoints(self) -> list[pathlib.Path]:
        """The files that training may be kept in."""
        used = [self.checkpoint, self.plan_checkpoint if self.finds_ranks else None]
        return [pathlib.Path(path) for path in used if path is not None]

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError("--epochs must be at least 1.")
        if self.svt not in get_args(SVTKind):
            raise InputError(f"--svt is one of {', '.join(get_args(SVTKind))}, not '{self.svt}'.")
        if self.finds_ranks and self.epochs < _LEAST_EPOCHS:
            raise InputError(f"--svt needs --epochs {_LEAST_EPOCHS} or more.")
        if self.precision not in get_args(Precision):
            raise InputError(f"--precision is float32 or bfloat16, not '{self.precision}'.")
        if not 0 <= self.label_share <= 1:
            raise InputError("--label-share must be at least 0 and at most 1.")
        if not 0 <= self.hidden < math.inf:
            raise InputError("--hidden must be at least 0.")
        if not 0 < self.learning_rate < 1:
            raise InputError("--lr must be above 0 and below 1.")
        if self.checkpoint is not None and not pathlib.Path(self.checkpoint).parent.is_dir():
            raise InputError(f"--checkpoint '{self.checkpoint}': its folder does not exist.")


def without_training(given: Iterable[str]) -> None:
    """Refuses options of training where none is asked for.

    Args:
        given: Names of options of training that were given, as Python or the command line has them.

    Raises:
        InputError: There are any.
    """
    for name in given:
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        raise InputError(f"{option} is an option of --finetune: add that, or leave it out.")
