"""Recover what factorization lost: the way to torch, which nothing else needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from .augmentation import Augmentation
from .calibrated import Calibrated
from .calibration import Batch
from .errors import InputError
from .options import Options
from .passes import OutputKind
from .progress import Progress
from .ranks.plan import Plan
from .session import Session
from .statistics.given_labels import check_labels, labelled_output
from .training import Recovery, Training

__all__ = ["MEASURED", "check_samples", "check_torch", "recover"]

# More samples than this teach, but bring nothing to moments.
MEASURED = 4096


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
    from .torch.devices import full_precision, in_threads  # noqa: PLC0415
    from .torch.teacher import Teacher  # noqa: PLC0415
    from .torch.thresholding import recover_by_svt  # noqa: PLC0415
    from .torch.trainer import finetune, steps_of  # noqa: PLC0415

    training, runtime, seed = options.training, options.runtime, options.selection.seed
    stage = progress.stage("fine-tune", steps_of(known.data, training))
    with in_threads(runtime.threads), full_precision(training.device), stage as advance:
        teacher = Teacher.of(
            training, known.dense, compressed, known.kinds, runtime, known.computed
        )
        if training.svt != "none":
            return recover_by_svt(known, compressed, plan, teacher, options, advance)
        recovery = finetune(compressed, teacher, known.data, training, runtime, seed, advance)
    return compressed, plan, recovery
