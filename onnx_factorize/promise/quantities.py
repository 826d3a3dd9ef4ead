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
from ..divergence import DivergenceSum
from ..errors import InputError
from ..passes import OutputKind
from ..statistics.rows import unmasked
from .confidence import Estimate, ratio

__all__ = ["QUANTITIES", "Agreement", "Cosine", "Divergence", "Quantity", "Top1"]

Arrays = Mapping[str, npt.NDArray[Any]]
Array = npt.NDArray[np.float64]


class Quantity(Protocol):
    """What a promise is about."""

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch."""

    def estimate(self) -> Estimate:
        """The figure of all that was added."""


class Divergence:
    """The divergence from the dense model, in nats a prediction, summed over outputs."""

    def __init__(self, kinds: Mapping[str, OutputKind]) -> None:
        self._kinds = _counted(kinds)
        self._totals = {name: DivergenceSum(kind) for name, kind in self._kinds.items()}
        self._shares: dict[str, list[tuple[float, int]]] = {name: [] for name in self._kinds}

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch."""
        mask = batch.mask
        for name, total in self._totals.items():
            total.add(dense[name], compressed[name], mask)
        for name, one in _sums(self._kinds, batch, dense, compressed):
            self._shares[name].append((one.unscaled, one.predictions))

    def estimate(self) -> Estimate:
        """The divergence of all that was added."""
        found = []
        for name, total in self._totals.items():
            divergences, predictions = np.array(self._shares[name], np.float64).T
            scale = total.scale
            if scale > 0:
                divergences = divergences / scale
            elif divergences.any():
                divergences = np.full_like(divergences, np.inf)
            found.append(ratio(divergences, predictions, None))
        return sum(found[1:], found[0])

    def by_sample(self) -> Array:
        """The divergence of each sample, or batch that counts as one, in nats a prediction."""
        total: Array = np.zeros(0)
        for name, sums in self._totals.items():
            divergences, predictions = np.array(self._shares[name], np.float64).T
            scale = sums.scale if sums.scale > 0 else 1.0
            each = divergences / scale / np.maximum(predictions, 1)
            total = total + each if total.size else each
        return total


class Agreement:
    """The share of predictions with the same most likely class as the dense model's."""

    def __init__(self, kinds: Mapping[str, OutputKind]) -> None:
        self._kinds = {n: k for n, k in kinds.items() if k.kind == "categorical"}
        if not self._kinds:
            raise InputError(
                "--keep agreement needs an output of classes, and the model has none that is "
                "recognised; say so with --outputs NAME=categorical, or use --keep cosine."
            )
        self._shares: list[tuple[float, float]] = []

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch."""
        sums = [one for _, one in _sums(self._kinds, batch, dense, compressed)]
        rows = len(sums) // len(self._kinds)
        for row in range(rows):
            parts = sums[row::rows]
            self._shares.append(
                (sum(p.agreements for p in parts), sum(p.predictions for p in parts))
            )

    def estimate(self) -> Estimate:
        """The agreement of all that was added."""
        return _of_counts(self._shares)


class Top1:
    """The compressed model's right answers over the dense model's, of labels in the data."""

    def __init__(self, kinds: Mapping[str, OutputKind]) -> None:
        self._kinds = {n: k for n, k in kinds.items() if k.kind == "categorical"}
        self._shares: list[tuple[float, float]] = []

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch; labels below 0 stand for none."""
        if batch.labels is None:
            raise InputError(
                f"--keep top1 needs a key 'label' in the calibration data; {batch.origin} has "
                "none. Without labels, use --keep agreement."
            )
        for name, kind in self._kinds.items():
            axis = -1 if kind.axis is None else kind.axis
            answers = [outputs[name].argmax(axis) for outputs in (compressed, dense)]
            if answers[0].shape == batch.labels.shape:
                break
        else:
            raise InputError(
                f"--keep top1: the labels of {batch.origin}, of shape {list(batch.labels.shape)}, "
                "fit no output of classes."
            )
        right = [(answer == batch.labels) & (batch.labels >= 0) for answer in answers]
        for piece in _pieces(batch, {name: answers[0]}):
            self._shares.append((float(right[0][piece].sum()), float(right[1][piece].sum())))

    def estimate(self) -> Estimate:
        """The share of the dense model's accuracy that is left."""
        return _of_counts(self._shares)


class Cosine:
    """The mean cosine between the compressed and the dense model's outputs of a sample."""

    def __init__(self, kinds: Mapping[str, OutputKind]) -> None:
        self._names = list(_counted(kinds))
        self._cosines: list[float] = []

    def add(self, batch: Batch, dense: Arrays, compressed: Arrays) -> None:
        """Adds the outputs of one batch; padding is left out."""
        mask = batch.mask
        for piece in _pieces(batch, {name: dense[name] for name in self._names}):
            cosines = []
            for name in self._names:
                here = None if mask is None else mask[piece]
                p, q = (
                    unmasked(outputs[name][piece], here).astype(np.float64).ravel()
                    for outputs in (dense, compressed)
                )
                size = float(np.linalg.norm(p) * np.linalg.norm(q))
                same = float(not p.any() and not q.any())
                cosines.append(float(p @ q) / size if size else same)
            self._cosines.append(float(np.mean(cosines)))

    def estimate(self) -> Estimate:
        """The mean cosine of all that was added."""
        cosines = np.array(self._cosines)
        return Estimate(float(cosines.mean()), cosines)


def _counted(kinds: Mapping[str, OutputKind]) -> dict[str, OutputKind]:
    """The outputs that count."""
    counted = {name: kind for name, kind in kinds.items() if kind.kind != "ignore"}
    if not counted:
        raise InputError("All outputs are ignored, so nothing can be promised of them.")
    return counted


def _pieces(batch: Batch, outputs: Arrays) -> list[slice]:
    """The rows of each sample, or all of them where some output has no row for each."""
    if all(o.ndim and o.shape[0] == batch.samples for o in outputs.values()):
        return [slice(row, row + 1) for row in range(batch.samples)]
    return [slice(None)]


def _sums(
    kinds: Mapping[str, OutputKind], batch: Batch, dense: Arrays, compressed: Arrays
) -> list[tuple[str, DivergenceSum]]:
    """How each sample compares, output by output."""
    mask = batch.mask
    found = []
    pieces = _pieces(batch, {name: dense[name] for name in kinds})
    for name, kind in kinds.items():
        for piece in pieces:
            one = DivergenceSum(kind)
            one.add(
                dense[name][piece], compressed[name][piece], None if mask is None else mask[piece]
            )
            found.append((name, one))
    return found


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


QUANTITIES: dict[str, Callable[[Mapping[str, OutputKind]], Quantity]] = {
    "agreement": Agreement,
    "cosine": Cosine,
    "top1": Top1,
}
