"""One training: its steps, its epochs, what validates them, and how it is continued."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..calibration import Batch, CalibrationData
from ..errors import InputError
from ..foreign import reading
from ..options import Training
from ..torch.module import GraphModule
from .augmentation import Augmentation
from .checkpoint import SECONDS, Checkpoint, Position
from .distributed import ProcessGroup
from .learning_rate import share_of_rate
from .shuffled import shuffled
from .teacher import Teacher
from .teacher_cache import digest
from .training import Epoch, Recovery

__all__ = ["TrainingRun"]

# Gradients are cut to this norm.
_LARGEST_GRADIENT = 1.0

# An epoch after which the divergence is so many times the least is undone, and what follows is
# slower: a good start is lost at a rate that serves a bad one.
_LOST = 1.5
_SLOWER = 0.25

# How far the divergence that training starts from may be from that of the run it continues:
# decompositions differ in the last digits from one number of threads to another.
_SAME_START = 1e-2


class Stepper(Protocol):
    """Makes a step in place of the optimizer that it is put around."""

    def step(self) -> None:
        """One step."""

    def state(self) -> dict[str, Any]:
        """The state to continue from, besides weights and the optimizer's, as plain data."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` gave."""


class TrainingRun:
    """A module in training, and what it is trained with.

    Attributes:
        optimizer: Steps all its Parameters.
        stepper: What is put around the optimizer, if anything.
        steps: Steps that all epochs make.
    """

    def __init__(
        self,
        module: GraphModule,
        teacher: Teacher,
        data: CalibrationData,
        validating: npt.NDArray[np.bool_],
        training: Training,
        seed: int,
    ) -> None:
        self._module, self._teacher, self._data = module, teacher, data
        self._validating = validating
        for batch in self._validation():
            teacher.observe(batch)
        batches = sum(1 for _ in data.batches("calibration", only=~validating))
        self._epochs, self._seed = training.epochs, seed
        # Whether the dense model's answers are still to be cached.
        self._to_cache = training.repeats and data.regroups and not teacher.cached
        self._augment = None if training.augment is None else Augmentation(training.augment)
        self._parameters = list(module.parameters())
        self._group = ProcessGroup()
        self._group.equalize(self._parameters)
        # Fused, a step of a large table takes an eighth of the time.
        self.optimizer = torch.optim.AdamW(
            self._parameters, training.learning_rate, weight_decay=0.0, fused=True
        )
        self.stepper: Stepper | None = None
        self._rate = training.learning_rate
        self.steps = max(1, training.epochs * batches)
        self._share = share_of_rate(self.steps)
        self._position = Position(Recovery(before=math.nan))
        self._start = copy.deepcopy(module.state_dict())
        self._best: dict[str, torch.Tensor] | None = None
        self._checkpoint: Checkpoint | None = None
        if training.checkpoint is not None:
            shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
            run: dict[str, Any] = dataclasses.asdict(training) | {"checkpoint": None}
            run |= {"seed": seed, "samples": data.calibration_samples, "weights": shapes}
            first = next(data.batches("calibration")).feeds
            run |= {"batch_size": data.batch_size, "data": digest(first.values())}
            run |= {
                "outputs": {name: repr(output.kind) for name, output in teacher.outputs.items()}
            }
            self._checkpoint = Checkpoint(pathlib.Path(training.checkpoint), run, SECONDS)

    @property
    def recovery(self) -> Recovery:
        """The outcome of the epochs."""
        return self._position.recovery

    @property
    def within_epoch(self) -> bool:
        """Tells whether it goes on within an epoch that was interrupted."""
        return self._position.batches > 0

    @property
    def epoch_began(self) -> int:
        """Steps that were made before the current epoch, or the next one between two."""
        return self._position.steps - self._position.batches

    def start(self) -> None:
        """Measures what there is, and goes on where an earlier run was interrupted."""
        before = self.validate()
        found = None if self._checkpoint is None else self._checkpoint.load()
        if found is None:
            self._position.recovery = Recovery(before=before, after=before)
            return
        position, tensors = found
        if not math.isclose(before, position.recovery.before, rel_tol=_SAME_START):
            raise InputError(
                "--checkpoint is of a training that started elsewhere: its divergence was "
                f"{position.recovery.before:.4g}, now it is {before:.4g}; name another file."
            )
        with reading("--checkpoint is damaged: remove it"):
            self._restore(position, tensors)

    def _restore(self, position: Position, tensors: dict[str, torch.Tensor]) -> None:
        self._position = position
        weights, best, state = (_below(part, tensors) for part in ("weights", "best", "state"))
        self._module.load_state_dict(weights)
        self._best = best or None
        whole = self.optimizer.state_dict()
        whole["state"] = {
            int(index): _below(index, state) for index in {name.split("/")[0] for name in state}
        }
        self.optimizer.load_state_dict(whole)
        if self.stepper is not None:
            self.stepper.restore(position.stepper)
        torch.set_rng_state(tensors["random"].cpu())

    def over(self, patience: int) -> bool:
        """Tells whether all epochs are over, or nothing was gained in the last few of them.

        It goes on where the last was better than the one before: then it is on its way back.
        """
        epochs = self.recovery.epochs
        if len(epochs) >= self._epochs:
            return True
        falling = len(epochs) > 1 and epochs[-1].validation < epochs[-2].validation
        return len(epochs) - self.recovery.best >= patience and not falling

    def epoch(self, advance: Callable[[int], None]) -> None:
        """Passes once through the samples; it ends early where the loss is not finite."""
        if self._to_cache:
            left = self._data.calibration_samples
            for batch in self._teacher.fill_cache(self._data.micro_batches("calibration")):
                advance(batch.samples)
                left -= batch.samples
            # Where there is no room for more, there was less to do than was said.
            advance(left)
            self._to_cache = False
        recovery, at = self.recovery, self._position
        number = len(recovery.epochs) + 1
        # The order is the same again if the epoch was interrupted: what was seen is passed over.
        rng = np.random.default_rng((self._seed, number))
        batches = shuffled(self._data, ~self._validating, rng)
        for batch in itertools.islice(batches, at.batches, None):
            loss = self._step(self._varied(batch, number), self._current_rate())
            at.steps += 1
            at.loss += loss * batch.samples
            at.samples += batch.samples
            at.batches += 1
            if not math.isfinite(loss):
                break
            if self._checkpoint is not None and self._checkpoint.due:
                self.save()
            advance(batch.samples)
        rate = self._current_rate()
        epoch = Epoch(at.loss / max(1, at.samples), self.validate(), rate)
        recovery.epochs.append(epoch)
        if epoch.validation < recovery.after:
            recovery.after, recovery.best = epoch.validation, number
            self._best = copy.deepcopy(self._module.state_dict())
        self._position = Position(recovery, at.steps, scale=at.scale)
        if not epoch.validation < _LOST * recovery.after:
            self._step_back()

    def _step_back(self) -> None:
        """Goes on from the best state, more slowly."""
        self._module.load_state_dict(self._best or self._start)
        self.optimizer.state.clear()
        self._position.scale *= _SLOWER

    def _current_rate(self) -> float:
        at = self._position
        return self._rate * at.scale * self._share(at.steps)

    def rebase(self) -> None:
        """Takes the state as it is for the best: what was before is not comparable."""
        self.recovery.after, self.recovery.best = self.validate(), len(self.recovery.epochs)
        self._best = copy.deepcopy(self._module.state_dict())

    def restore_best(self) -> bool:
        """Takes the best state; says whether it is another than that of the start."""
        if self._best is None:
            return False
        self._module.load_state_dict(self._best)
        return True

    def _varied(self, batch: Batch, epoch: int) -> Batch:
        """The batch as it is trained on, the same again if training was interrupted."""
        if self._augment is None:
            return batch
        rng = np.random.default_rng((self._seed, epoch, self._position.batches, 1))
        return self._augment(batch, rng)

    def _step(self, batch: Batch, rate: float) -> float:
        """One step of the optimizer, unless the loss is not finite; the divergence before it."""
        own, weight = self._group.share(self._data, batch)
        loss, divergence = torch.zeros(()), 0.0
        if own is not None:
            loss, divergence = self._teacher.loss(self._module, own)
        divergence = self._group.sum(weight * divergence)
        if math.isfinite(self._group.sum(weight * float(loss.detach()))):
            self.optimizer.zero_grad()
            if own is not None:
                torch.autograd.backward(weight * loss)
            self._group.sum_gradients(self._parameters)
            torch.nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            (self.stepper or self.optimizer).step()
        return divergence

    def save(self) -> None:
        """Writes the checkpoint, if there is to be one."""
        if self._checkpoint is None or self._group.rank:
            return
        if self.stepper is not None:
            self._position.stepper = self.stepper.state()
        tensors = {f"weights/{name}": value for name, value in self._module.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in (self._best or {}).items()}
        tensors |= {
            f"state/{index}/{name}": value
            for index, moments in self.optimizer.state_dict()["state"].items()
            for name, value in moments.items()
        }
        tensors["random"] = torch.get_rng_state()
        self._checkpoint.save(self._position, tensors)

    def _validation(self) -> Iterable[Batch]:
        return self._data.micro_batches("calibration", self._validating)

    @torch.no_grad()
    def validate(self) -> float:
        """The divergence of the samples that are not trained on; infinite if it is not finite."""
        found = 0.0
        if not self._group.rank:
            found = self._teacher.divergence(self._module, self._validation())
        return self._group.of_first(found)


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with a prefix and a slash, by the rest of their names."""
    start = f"{prefix}/"
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
