"""Recover what factorization lost: train the compressed graph towards the dense one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from ..calibration import CalibrationData
from ..divergence import DivergenceSum
from ..errors import InputError
from ..passes import OutputKind
from ..recovery import Epoch, Recovery, Training
from ..rows import padding_mask
from ..session import Runtime, Session
from .check import check_against_onnxruntime
from .distillation import Distillation
from .module import GraphModule, to_torch
from .shuffled import shuffled
from .write_back import write_back

__all__ = ["finetune", "steps_of"]

# Share of the calibration samples that training is validated on, and the most of them.
_VALIDATION = 0.125
_MOST_VALIDATION = 512

# With fewer samples nothing could be told.
_LEAST_SAMPLES = 16

# Share of the steps in which the learning rate rises.
_WARM_UP = 0.05

# What it falls to, as a share of its largest.
_LAST_RATE = 0.01

# Gradients are cut to this norm.
_LARGEST_GRADIENT = 1.0

# Epochs without a gain after which training ends, as a share of all.
_PATIENCE = 0.34


def steps_of(data: CalibrationData, training: Training) -> int:
    """Samples that training passes through at most, for the display of progress."""
    return training.epochs * data.calibration_samples


def finetune(
    dense: ir.Model,
    compressed: ir.Model,
    kinds: Mapping[str, OutputKind],
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
        dense: The dense model.
        compressed: The compressed one, whose constants are replaced.
        kinds: What each output stands for.
        data: The calibration data.
        training: For how long and how fast.
        runtime: How onnxruntime runs the dense model.
        seed: Seed of the order of the samples.
        advance: Called after each batch with its number of samples.

    Returns:
        What became of it, epoch by epoch.

    Raises:
        InputError: The graph cannot be run in torch, or does not give there what it gives in
            onnxruntime; or there are too few samples to validate on.
    """
    samples = data.calibration_samples
    if samples < _LEAST_SAMPLES:
        raise InputError(
            f"--finetune needs {_LEAST_SAMPLES} calibration samples or more, and has {samples}."
        )
    validating = data.some(min(_MOST_VALIDATION, int(_VALIDATION * samples)))
    module = to_torch(compressed)
    first = next(data.batches("calibration"))
    check_against_onnxruntime(module, compressed, first.feeds, runtime=runtime)
    torch.manual_seed(seed)
    run = _Run(module, Session(dense, runtime), kinds, data, validating, training)

    recovery = Recovery(before=run.validate())
    least, state = recovery.before, None
    patience = max(2, math.ceil(_PATIENCE * training.epochs))
    for number in range(1, training.epochs + 1):
        epoch = run.epoch(np.random.default_rng((seed, number)), advance)
        recovery.epochs.append(epoch)
        if epoch.validation < least:
            least, state = epoch.validation, copy.deepcopy(module.state_dict())
            recovery.best = number
        if number - recovery.best >= patience or not math.isfinite(epoch.loss):
            break
    recovery.after = least
    if state is not None:
        module.load_state_dict(state)
        write_back(module, compressed)
        check_against_onnxruntime(module, compressed, first.feeds, runtime=runtime)
    return recovery


class _Run:
    """A module in training, and what it is trained with."""

    def __init__(
        self,
        module: GraphModule,
        dense: Session,
        kinds: Mapping[str, OutputKind],
        data: CalibrationData,
        validating: npt.NDArray[np.bool_],
        training: Training,
    ) -> None:
        self._module, self._dense, self._data = module, dense, data
        self._kinds = {name: kind for name, kind in kinds.items() if kind.kind != "ignore"}
        self._validating = validating
        self._loss = Distillation(self._kinds)
        for batch in data.batches("calibration", only=validating):
            self._loss.observe(dense.run(batch.feeds, batch.origin), padding_mask(batch.feeds))
        batches = sum(1 for _ in data.batches("calibration", only=~validating))
        self._parameters = list(module.parameters())
        self._optimizer = torch.optim.AdamW(
            self._parameters, training.learning_rate, weight_decay=0.0
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, _rate(max(1, training.epochs * batches))
        )

    def epoch(self, rng: np.random.Generator, advance: Callable[[int], None]) -> Epoch:
        """Passes once through the samples; it ends early where the loss is not finite."""
        total, samples = 0.0, 0
        for batch in shuffled(self._data, ~self._validating, rng):
            p = self._dense.run(batch.feeds, batch.origin)
            q = self._module.run(batch.feeds).outputs
            loss = self._loss(p, q, padding_mask(batch.feeds))
            total += float(loss.detach()) * batch.samples
            samples += batch.samples
            if not math.isfinite(total):
                break
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
            self._optimizer.step()
            self._schedule.step()
            advance(batch.samples)
        rate = float(self._schedule.get_last_lr()[0])
        return Epoch(total / max(1, samples), self.validate(), rate)

    @torch.no_grad()
    def validate(self) -> float:
        """The divergence of the samples that are not trained on; infinite if it is not finite."""
        sums = {name: DivergenceSum(kind) for name, kind in self._kinds.items()}
        for batch in self._data.batches("calibration", only=self._validating):
            p = self._dense.run(batch.feeds, batch.origin)
            q = self._module.numpy(self._module.run(batch.feeds).outputs)
            for name, total in sums.items():
                total.add(p[name], q[name], padding_mask(batch.feeds))
        divergence = sum(total.value for total in sums.values())
        return divergence if math.isfinite(divergence) else math.inf


def _rate(steps: int) -> Callable[[int], float]:
    """The learning rate as a share of its largest: it rises for a while, then falls as a cosine."""
    warm_up = max(1, round(_WARM_UP * steps))

    def share(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        done = min(1.0, (step - warm_up) / max(1, steps - warm_up))
        return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))

    return share
