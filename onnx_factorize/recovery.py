"""Fine-tuning: what is asked for, the way to torch, and what became of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import onnx_ir as ir

from .augmentation import Augmentation
from .calibration import Batch
from .errors import InputError
from .passes import OutputKind
from .progress import Progress
from .session import Session
from .statistics.given_labels import check_labels, labelled_output

if TYPE_CHECKING:
    from .options import Options
    from .pipeline import Calibrated
    from .ranks.plan import Plan

__all__ = [
    "MEASURED",
    "Epoch",
    "Recovery",
    "SVTKind",
    "Thresholds",
    "Training",
    "check_samples",
    "check_torch",
    "recover",
]

# More samples than this teach, but bring nothing to moments.
MEASURED = 4096

SVTKind = Literal["none", "soft", "reweighted", "hard"]

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
            answers: see `torch.teacher`.
        augment: `module:callable` that changes samples before they are trained on; see
            `augmentation`.
        device: Where to train, as torch calls it: `cpu`, `cuda`, `cuda:1` …
    """

    epochs: int = 10
    learning_rate: float = 5e-4
    checkpoint: str | None = None
    svt: SVTKind = "none"
    label_share: float = 0.0
    hidden: float = 0.0
    augment: str | None = None
    device: str = "cpu"

    @property
    def repeats(self) -> bool:
        """Whether the dense model's outputs for a sample, and no more, are asked for again."""
        return self.epochs > 1 and not self.hidden and self.augment is None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError("--epochs must be at least 1.")
        if self.svt not in get_args(SVTKind):
            raise InputError(f"--svt is one of {', '.join(get_args(SVTKind))}, not '{self.svt}'.")
        if self.svt != "none" and self.epochs < _LEAST_EPOCHS:
            raise InputError(f"--svt needs --epochs {_LEAST_EPOCHS} or more.")
        if self.svt != "none" and self.checkpoint is not None:
            raise InputError("--checkpoint does not keep the training of --svt: leave one out.")
        if not 0 <= self.label_share <= 1:
            raise InputError("--label-share must be at least 0 and at most 1.")
        if not 0 <= self.hidden < math.inf:
            raise InputError("--hidden must be at least 0.")
        if not 0 < self.learning_rate < 1:
            raise InputError("--lr must be above 0 and below 1.")
        if self.checkpoint is not None and not pathlib.Path(self.checkpoint).parent.is_dir():
            raise InputError(f"--checkpoint {self.checkpoint}: its folder does not exist.")


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


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """One pass through the samples under singular value thresholding.

    Attributes:
        loss: Mean divergence of the batches while they were trained on, in nats.
        validation: Divergence of the samples that were not trained on, after the epoch.
        cost: What is thresholded costs after the last proximal step, as a share of what it costs
            dense; None before the first.
        ranks: View name to rank.
        dropped: Share of the whitened energy that went in the last proximal step, from 0 to 1.
    """

    loss: float
    validation: float
    cost: float | None
    ranks: dict[str, int]
    dropped: float


@dataclasses.dataclass
class Recovery:
    """What became of it.

    Attributes:
        before: Divergence of the validation samples before training.
        after: The same of the state that was kept.
        best: The epoch whose state was kept; 0 for the start.
        epochs: What each epoch gave.
        svt: What each epoch of singular value thresholding gave, before these.
        ranks_from: Whose ranks were kept: `plan`, or `svt` if its result was better.
    """

    before: float
    after: float = float("nan")
    best: int = 0
    epochs: list[Epoch] = dataclasses.field(default_factory=list)
    svt: list[Thresholds] = dataclasses.field(default_factory=list)
    ranks_from: str = "plan"


def check_torch(device: str) -> None:
    """Finds out, before minutes of work, whether what trains is there.

    Args:
        device: Where to train.

    Raises:
        InputError: It is not.
    """
    for needed in ("torch", "safetensors"):
        if importlib.util.find_spec(needed) is None:
            raise InputError(f"--finetune needs {needed}: pip install 'onnx-factorize[train]'.")
    # Only here does the pipeline need torch.
    from .torch.devices import check_device  # noqa: PLC0415

    check_device(device)


def check_samples(
    training: Training, dense: Session, kinds: Mapping[str, OutputKind], sample: Batch
) -> None:
    """Finds out, before minutes of work, whether samples hold what training wants of them.

    Args:
        training: How to train.
        dense: The dense model.
        kinds: What each output stands for.
        sample: One of the samples.

    Raises:
        InputError: They do not, or cannot be augmented.
    """
    if training.augment is not None:
        Augmentation(training.augment)(sample, np.random.default_rng(0))
    if training.label_share:
        output = labelled_output(kinds)
        shape = dense.run(sample.feeds, sample.origin)[output].shape
        check_labels(sample, kinds[output], shape)


def recover(
    known: Calibrated, compressed: ir.Model, plan: Plan, options: Options, progress: Progress
) -> tuple[ir.Model, Plan, Recovery]:
    """Trains a compressed model towards the dense one; see `torch.trainer` and `thresholding`.

    Args:
        known: What is known of the dense model.
        compressed: The compressed one. Its constants may be replaced.
        plan: How it was made.
        options: How to train.
        progress: What is told how far the run is.

    Returns:
        The model, the plan by its ranks, and what became of training.
    """
    # Likewise.
    from .torch.thresholding import recover_by_svt  # noqa: PLC0415
    from .torch.trainer import finetune, steps_of  # noqa: PLC0415

    training = options.training
    with progress.stage("fine-tune", steps_of(known.data, training)) as advance:
        if training.svt != "none":
            return recover_by_svt(known, compressed, plan, options, advance)
        recovery = finetune(
            known.dense,
            compressed,
            known.kinds,
            known.data,
            training,
            options.runtime,
            options.selection.seed,
            known.computed,
            advance,
        )
    return compressed, plan, recovery
