"""What can be promised of held-out samples, each as a figure with its samples' shares.

A quantity is fed the outputs of the dense and of the compressed model batch by batch. Where an
output has no row for each sample (a state, a scalar), a batch counts as one sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..calibration import Batch
from ..calibration.inputs.labels import class_numbers
from ..calibration.positions import unmasked
from ..errors import InputError
from ..evaluation import Divergences
from ..outputs import Categorical, OutputDistribution
from .confidence import Estimate, ratio

__all__ = ["QUANTITIES", "Agreement", "Cosine", "Divergence", "Quantity", "Top1"]

Arrays = Mapping[str, npt.NDArray[Any]]
Array = npt.NDArray[np.float64]
Outputs = Mapping[str, OutputDistribution]


class Quantity(Protocol):
    """What a promise is about."""

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch."""

    def estimate(self) -> Estimate:
        """The figure of all that was added."""


class Divergence:
    """The divergence from the dense model, in nats a prediction, summed over outputs.

    Of an output in several parts it is that of the part that diverges most, so that the promise is
    kept by each of them.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._found = Divergences(outputs)

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch."""
        self._found.add(batch, dense, compressed)

    def estimate(self) -> Estimate:
        """The divergence of all that was added."""
        estimates = []
        for name in self._found.totals:
            rows, part = self._found.rows(name), self._found.worst_part(name)
            estimates.append(ratio(rows.divergences[:, part], rows.predictions[:, part], None))
        return sum(estimates[1:], estimates[0])


class Agreement:
    """The share of predictions with the same most likely class as the dense model's."""

    def __init__(self, outputs: Outputs) -> None:
        classes = {n: o for n, o in outputs.items() if isinstance(o, Categorical)}
        if not classes:
            raise InputError(
                "--keep agreement needs an output of classes, and the model has none that is "
                "recognised; say so with --outputs NAME=categorical, or use --keep cosine."
            )
        self._found = Divergences(classes)

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch."""
        self._found.add(batch, dense, compressed)

    def estimate(self) -> Estimate:
        """The agreement of all that was added."""
        rows = [self._found.rows(name) for name in self._found.totals]
        kept = sum(each.agreements for each in rows if each.agreements is not None)
        of = sum(each.predictions[:, 0] for each in rows)
        return _of_counts(list(zip(np.asarray(kept), np.asarray(of), strict=True)))


class Top1:
    """The compressed model's right answers over the dense model's, of labels in the data."""

    def __init__(self, outputs: Outputs) -> None:
        self._axes = {n: o.axis for n, o in outputs.items() if isinstance(o, Categorical)}
        self._shares: list[tuple[float, float]] = []

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch; labels below 0 stand for none."""
        if batch.labels is None:
            raise InputError(
                f"--keep top1 needs a key 'label' in the calibration data; {batch.origin} has "
                "none. Without labels, use --keep agreement."
            )
        for name, axis in self._axes.items():
            labels = class_numbers(batch.labels, dense[name].shape, axis)
            if labels is not None:
                answers = [outputs[name].argmax(axis) for outputs in (compressed, dense)]
                break
        else:
            raise InputError(
                f"--keep top1: the labels of {batch.origin}, of shape {list(batch.labels.shape)} "
                f"and type {batch.labels.dtype}, fit no output of classes."
            )
        right = [answer == labels for answer in answers]
        for piece in _pieces(batch, {name: answers[0]}):
            self._shares.append((float(right[0][piece].sum()), float(right[1][piece].sum())))

    def estimate(self) -> Estimate:
        """The share of the dense model's accuracy that is left."""
        return _of_counts(self._shares)


class Cosine:
    """The mean cosine between the compressed and the dense model's outputs of a sample.

    Of an output in several parts it is that of the part that turns most.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._cosines: dict[str, list[Array]] = {name: [] for name in outputs}

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch; padding is left out."""
        for piece in _pieces(batch, {name: dense[name] for name in self._outputs}):
            here = None if batch.mask is None else batch.mask[piece]
            for name, output in self._outputs.items():
                p, q = (unmasked(answer[name][piece], here) for answer in (dense, compressed))
                self._cosines[name].append(output.cosines(p, q))

    def estimate(self) -> Estimate:
        """The mean cosine of all that was added."""
        worst = []
        for found in self._cosines.values():
            parts = np.array(found)
            worst.append(parts[:, parts.mean(axis=0).argmin()])
        cosines = np.mean(worst, axis=0)
        return Estimate(float(cosines.mean()), cosines)


def _pieces(batch: Batch, outputs: Arrays) -> list[slice]:
    """The rows of each sample, or all of them where some output has no row for each."""
    if all(o.ndim and o.shape[0] == batch.samples for o in outputs.values()):
        return [slice(row, row + 1) for row in range(batch.samples)]
    return [slice(None)]


def _of_counts(shares: list[tuple[float, float]]) -> Estimate:
    """The ratio of two counts, with a sample that is one worse than the worst among the shares."""
    kept, of = np.array(shares, np.float64).T
    most = float(of.max())
    if most == 0:
        raise InputError(
            "The dense model gets no held-out label right, so no share of that can be kept; are "
            "the labels those of its classes?"
        )
    lost = min(most, max(0.0, float((of - kept).max())) + 1)
    return ratio(kept, of, (most - lost, most))


QUANTITIES: dict[str, Callable[[Outputs], Quantity]] = {
    "agreement": Agreement,
    "cosine": Cosine,
    "top1": Top1,
}
