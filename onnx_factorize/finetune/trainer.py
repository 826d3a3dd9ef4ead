"""Recover what factorization lost: train the compressed graph towards the dense one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from ..calibration import CalibrationData
from ..errors import InputError
from ..options import Training
from ..passes import fixed_draws, with_outputs
from ..runtime.session import Runtime
from ..torch.check import check_against_onnxruntime
from ..torch.constants import named_constants
from ..torch.module import GraphModule, to_torch
from ..torch.parameters import is_fine_tuned
from ..torch.write_back import write_back
from .teacher import Teacher
from .training import Recovery
from .training_run import TrainingRun

__all__ = [
    "finetune",
    "patience_of",
    "steps_of",
    "trained_module",
    "validating_samples",
    "validation_of",
]

# Share of the calibration samples that training is validated on, and the most of them.
_VALIDATION = 0.125
_MOST_VALIDATION = 512

# With fewer samples nothing could be told.
_LEAST_SAMPLES = 16

# Epochs without a gain after which training ends, as a share of all.
_PATIENCE = 0.34


def steps_of(data: CalibrationData, training: Training) -> int:
    """Samples that training passes through at most, for the display of progress."""
    return (training.epochs + training.repeats) * data.calibration_samples


def patience_of(training: Training) -> int:
    """Epochs without a gain after which training ends."""
    return max(2, math.ceil(_PATIENCE * training.epochs))


def validating_samples(data: CalibrationData) -> npt.NDArray[np.bool_]:
    """Marks the calibration samples that are not trained on, shape (samples,).

    Raises:
        InputError: There are too few samples to validate on.
    """
    samples = data.calibration_samples
    if samples < _LEAST_SAMPLES:
        raise InputError(
            f"--finetune needs {_LEAST_SAMPLES} calibration samples or more, and has {samples}."
        )
    return data.some(min(_MOST_VALIDATION, int(_VALIDATION * samples)))


def finetune(
    compressed: ir.Model,
    teacher: Teacher,
    data: CalibrationData,
    training: Training,
    runtime: Runtime,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Recovery:
    """Trains the weights of a compressed model so that its outputs are those of the dense one.

    Nothing but calibration samples is seen: some are trained on, and the others tell after each
    epoch how good the model is. The best state is kept, which is the start if none is better.

    Args:
        compressed: The compressed model, whose constants are replaced.
        teacher: The dense one.
        data: The calibration data.
        training: For how long and how fast.
        runtime: How onnxruntime runs the compressed model.
        seed: Seed of the order of the samples.
        advance: Called after each batch with its number of samples.

    Returns:
        What became of it, epoch by epoch.

    Raises:
        InputError: The graph cannot be run in torch, or does not give there what it gives in
            onnxruntime; or there are too few samples to validate on.
    """
    validating = validating_samples(data)
    module = trained_module(compressed, teacher.outputs).to(training.device)
    if not module.initializers:  # nothing to train
        before = validation_of(compressed, teacher, data, training.device)
        return Recovery(before, before)
    first = next(data.micro_batches("calibration"))
    check_against_onnxruntime(module, compressed, first.feeds, runtime=runtime)
    torch.manual_seed(seed)
    run = TrainingRun(module, teacher, data, validating, training, seed)

    run.start()
    while not run.over(patience_of(training)):
        run.epoch(advance)
        run.save()
    if run.restore_best():
        write_back(module, compressed)
        check_against_onnxruntime(module, compressed, first.feeds, runtime=runtime)
    return run.recovery


def trained_module(model: ir.Model, outputs: Iterable[str]) -> GraphModule:
    """A model in torch, with the values that count among its outputs.

    What stands in the place of its random nodes is not trained.
    """
    own = named_constants(model).keys()
    watched = with_outputs(fixed_draws(model), outputs)
    return to_torch(watched, lambda value: value.name in own and is_fine_tuned(value))


def validation_of(
    compressed: ir.Model, teacher: Teacher, data: CalibrationData, device: str
) -> float:
    """The divergence of a model on the samples that are not trained on; see `finetune`."""
    batches = data.micro_batches("calibration", validating_samples(data))
    with torch.no_grad():
        watched = with_outputs(fixed_draws(compressed), teacher.outputs)
        return teacher.divergence(to_torch(watched).to(device), batches)
