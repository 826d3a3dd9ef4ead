"""One training: its steps, its epochs, what validates them, and how it is continued."""

from __future__ import annotations

import copy
import itertools
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..calibration import Batch, CalibrationData
from ..divergence import DivergenceSum
from ..errors import InputError
from ..given_labels import check_labels, labelled_output, mixed_with_labels
from ..passes import OutputKind
from ..recovery import Epoch, Recovery, Training
from ..rows import padding_mask
from ..session import Session
from .checkpoint import SECONDS, Checkpoint, Position
from .distillation import Distillation
from .module import GraphModule
from .shuffled import shuffled

__all__ = ["TrainingRun"]

# Share of the steps in which the learning rate rises.
_WARM_UP = 0.05

# What it falls to, as a share of its largest.
_LAST_RATE = 0.01

# Gradients are cut to this norm.
_LARGEST_GRADIENT = 1.0

# An epoch after which the divergence is so many times the least is undone, and what follows is
# slower: a good start is lost at a rate that serves a bad one.
_LOST = 1.5
_SLOWER = 0.25

# How far the divergence that training starts from may be from that of the run it continues:
# decompositions differ in the last digits from one number of threads to another.
_SAME_START = 1e-2


class TrainingRun:
    """A module in training, and what it is trained with."""

    def __init__(
        self,
        module: GraphModule,
        dense: Session,
        kinds: Mapping[str, OutputKind],
        data: CalibrationData,
        validating: npt.NDArray[np.bool_],
        training: Training,
        seed: int,
    ) -> None:
        self._module, self._dense, self._data = module, dense, data
        self._kinds = {name: kind for name, kind in kinds.items() if kind.kind != "ignore"}
        self._validating = validating
        self._loss = Distillation(self._kinds)
        self._label_share = training.label_share
        self._labelled = labelled_output(self._kinds) if training.label_share else None
        for batch in data.batches("calibration", only=validating):
            self._loss.observe(self._wanted(batch), padding_mask(batch.feeds))
        batches = sum(1 for _ in data.batches("calibration", only=~validating))
        self._epochs, self._seed = training.epochs, seed
        self._parameters = list(module.parameters())
        self.optimizer = torch.optim.AdamW(
            self._parameters, training.learning_rate, weight_decay=0.0
        )
        # What makes a step; another may be put around the optimizer.
        self.stepper: Any = self.optimizer
        self._rate = training.learning_rate
        self.steps = max(1, training.epochs * batches)
        self._share = _rate(self.steps)
        self._position = Position(Recovery(before=math.nan))
        self._start = copy.deepcopy(module.state_dict())
        self._best: dict[str, torch.Tensor] | None = None
        self._checkpoint: Checkpoint | None = None
        if training.checkpoint is not None:
            shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
            run: dict[str, Any] = {
                "epochs": training.epochs,
                "learning_rate": training.learning_rate,
                "label_share": training.label_share,
            }
            run |= {"seed": seed, "samples": data.calibration_samples, "weights": shapes}
            self._checkpoint = Checkpoint(pathlib.Path(training.checkpoint), run, SECONDS)

    @property
    def recovery(self) -> Recovery:
        """What the epochs gave."""
        return self._position.recovery

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
        self._position = position
        weights, best, state = (_below(part, tensors) for part in ("weights", "best", "state"))
        self._module.load_state_dict(weights)
        self._best = best or None
        whole = self.optimizer.state_dict()
        whole["state"] = {
            int(index): _below(index, state) for index in {name.split("/")[0] for name in state}
        }
        self.optimizer.load_state_dict(whole)
        torch.set_rng_state(tensors["random"].cpu())

    def over(self, patience: int) -> bool:
        """Whether all epochs are over, or nothing was gained in the last few of them.

        It goes on where the last was better than the one before: then it is on its way back.
        """
        epochs = self.recovery.epochs
        if len(epochs) >= self._epochs:
            return True
        falling = len(epochs) > 1 and epochs[-1].validation < epochs[-2].validation
        return len(epochs) - self.recovery.best >= patience and not falling

    def epoch(self, advance: Callable[[int], None]) -> None:
        """Passes once through the samples; it ends early where the loss is not finite."""
        recovery, at = self.recovery, self._position
        number = len(recovery.epochs) + 1
        # The order is the same again if the epoch was interrupted: what was seen is passed over.
        rng = np.random.default_rng((self._seed, number))
        batches = shuffled(self._data, ~self._validating, rng)
        for batch in itertools.islice(batches, at.batches, None):
            loss = self._step(batch)
            at.loss += loss * batch.samples
            at.samples += batch.samples
            at.batches += 1
            if not math.isfinite(loss):
                break
            if self._checkpoint is not None and self._checkpoint.due:
                self._save()
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
        self._save()

    def _step_back(self) -> None:
        """Goes on from the best state, more slowly."""
        self._module.load_state_dict(self._best or self._start)
        self.optimizer.state.clear()
        self._position.scale *= _SLOWER

    def _current_rate(self) -> float:
        return self._rate * self._position.scale * self._share(self._position.steps)

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

    def _wanted(self, batch: Batch) -> dict[str, npt.NDArray[Any]]:
        """What the outputs should be: the dense model's, or those mixed with the labels."""
        p = self._dense.run(batch.feeds, batch.origin)
        name = self._labelled
        if name is not None:
            check_labels(batch, self._kinds[name], p[name].shape)
            assert batch.labels is not None
            share = self._label_share
            p[name] = mixed_with_labels(p[name], batch.labels, self._kinds[name], share)
        return p

    def _step(self, batch: Batch) -> float:
        """One step of the optimizer, unless the loss is not finite."""
        p = self._wanted(batch)
        q = self._module.run(batch.feeds).outputs
        loss = self._loss(p, q, padding_mask(batch.feeds))
        value = float(loss.detach())
        if math.isfinite(value):
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
            for group in self.optimizer.param_groups:
                group["lr"] = self._current_rate()
            self.stepper.step()
            self._position.steps += 1
        return value

    def _save(self) -> None:
        """Writes the checkpoint, if there is to be one."""
        if self._checkpoint is None:
            return
        tensors = {f"weights/{name}": value for name, value in self._module.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in (self._best or {}).items()}
        tensors |= {
            f"state/{index}/{name}": value
            for index, moments in self.optimizer.state_dict()["state"].items()
            for name, value in moments.items()
        }
        tensors["random"] = torch.get_rng_state()
        self._checkpoint.save(self._position, tensors)

    @torch.no_grad()
    def validate(self) -> float:
        """The divergence of the samples that are not trained on; infinite if it is not finite."""
        sums = {name: DivergenceSum(kind) for name, kind in self._kinds.items()}
        for batch in self._data.batches("calibration", only=self._validating):
            p = self._wanted(batch)
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


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with a prefix and a slash, by the rest of their names."""
    start = f"{prefix}/"
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
