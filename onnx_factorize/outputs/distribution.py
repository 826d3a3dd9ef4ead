"""The distribution that an output stands for, as all that measures it sees it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..calibration.positions import leading_mask
from ..keyed_random import Keys
from ..passes import OutputKind, OutputSeed, SeedInputs

__all__ = [
    "Compared",
    "OutputDistribution",
    "Part",
    "blocks",
    "cosine",
    "positions",
    "rows_of_samples",
    "spread",
]

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Elements that are looked at together: bounds the copies in float64.
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Part:
    """Elements of one output that have a scale in common.

    Attributes:
        name: Where they are, for people: `all`, or the places along an axis.
        deviation: The standard deviation of a typical one over the data; None where values are
            probabilities and have a scale of their own.
        predictions: Predictions of a sample, on average.
    """

    name: str
    deviation: float | None
    predictions: float


@dataclasses.dataclass(frozen=True)
class Compared:
    """The comparison of two values of an output, sample by sample.

    Attributes:
        divergences: Summed over predictions, in nats, shape (rows, parts); not finite where the
            compressed model's value is not.
        predictions: Their number, shape (rows, parts).
        agreements: Predictions with the same most likely class, shape (rows,); None unless the
            output is categorical.
    """

    divergences: Float
    predictions: Float
    agreements: Float | None = None

    def __add__(self, other: Compared) -> Compared:
        """The sums of both, as one row."""
        agreements = None
        if self.agreements is not None and other.agreements is not None:
            agreements = np.array([self.agreements.sum() + other.agreements.sum()])
        pairs = (
            (self.divergences, other.divergences),
            (self.predictions, other.predictions),
        )
        divergences, predictions = (
            a.sum(axis=0, keepdims=True) + b.sum(axis=0, keepdims=True) for a, b in pairs
        )
        return Compared(divergences, predictions, agreements)

    @property
    def by_part(self) -> Float:
        """The mean divergence of a prediction of each part, in nats, shape (parts,)."""
        total, count = self.divergences.sum(axis=0), self.predictions.sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), 0.0)

    @property
    def divergence(self) -> float:
        """The mean over the parts that have predictions, in nats; infinite if one is."""
        seen = self.predictions.sum(axis=0) > 0
        return float(self.by_part[seen].mean()) if seen.any() else 0.0

    @property
    def agreement(self) -> float | None:
        """Share of predictions with the same most likely class; None unless categorical."""
        count = self.predictions.sum()
        if self.agreements is None or not count:
            return None
        return float(self.agreements.sum() / count)


@dataclasses.dataclass(frozen=True)
class OutputDistribution(abc.ABC):
    """The distribution that an output stands for, with all that the data tell of its scale.

    A prediction is one distribution: a vector of class probabilities for a categorical output,
    one element for a bernoulli or a gaussian one. The divergence of an output is the mean over its
    predictions of KL(dense || compressed), in nats; over the predictions of each part, and then
    over parts, where an output has several.

    Attributes:
        kind: What it was taken for, class axis known.
        parts: Its parts.
        remark: What a user should know of it, as a sentence; empty if nothing.
    """

    kind: OutputKind
    parts: tuple[Part, ...]
    remark: str = ""

    @abc.abstractmethod
    def compare(
        self, dense: AnyArray, compressed: AnyArray, samples: int, mask: Mask | None = None
    ) -> Compared:
        """Compares two values of the output.

        Args:
            dense: The dense model's.
            compressed: The compressed model's, of the same shape.
            samples: Samples of the batch. Where axis 0 does not run over them, all are one row.
            mask: Positions that hold data, shape (samples, length).
        """

    def seed(self, *, given: bool = False) -> OutputSeed:
        """The seed of the gradient at the output."""
        return OutputSeed(self.kind, given)

    @abc.abstractmethod
    def feeds(
        self,
        inputs: SeedInputs,
        shape: tuple[int, ...],
        keys: Keys,
        mask: Mask | None,
        labels: AnyArray | None,
    ) -> dict[str, AnyArray]:
        """Feeds of the gradient's seed.

        Seeds are such that half of the mean square of ⟨gradient, change⟩ is the divergence that a
        small change of the output makes.

        Args:
            inputs: The inputs of the graph that take it.
            shape: The shape that the output will have.
            keys: A key for each sample, shape (samples,).
            mask: Positions that hold data, shape (samples, length).
            labels: Labels of the samples, where they are given.
        """

    def cosines(self, dense: AnyArray, compressed: AnyArray) -> Float:
        """The cosine between two values, of each part, shape (parts,)."""
        return np.array([cosine(dense, compressed)])

    def per_sample(self, part: int) -> float:
        """Predictions of a part in one sample, on average, never zero."""
        return max(self.parts[part].predictions, 1e-12)


def cosine(p: AnyArray, q: AnyArray) -> float:
    """The cosine between all elements of two arrays; of nothing and nothing it is 1."""
    p, q = (x.astype(np.float64).ravel() for x in (p, q))
    size = float(np.linalg.norm(p) * np.linalg.norm(q))
    return float(p @ q) / size if size else float(not p.any() and not q.any())


def rows_of_samples(values: Float, samples: int) -> Float:
    """Sums over axis 0 within each sample: (samples, …), or (1, …) where it has no such rows."""
    count = len(values)
    rows = samples if count % samples == 0 else 1
    summed: Float = values.reshape(rows, -1, *values.shape[1:]).sum(axis=1)
    return summed


def blocks(shape: tuple[int, ...], most: int = _BLOCK) -> Iterator[slice]:
    """Runs of axis 0 of so many elements that they can be computed in float64 at once, or one."""
    length = shape[0] if all(shape) else 0
    each = max(1, int(np.prod(shape[1:])))
    step = max(1, most // each)
    for start in range(0, length, step):
        yield slice(start, start + step)


def positions(shape: tuple[int, ...], mask: Mask | None, rank: int) -> Mask:
    """Marks the leading positions of a value that hold data, as it broadcasts to some rank.

    Args:
        shape: The value's.
        mask: Positions that hold data, shape (samples, length).
        rank: The array's number of axes: the value's, or one less without those of classes.
    """
    kept = leading_mask(shape, mask)
    if kept is None:
        kept = np.ones(shape[:1], bool)
    return kept.reshape(kept.shape + (1,) * (rank - kept.ndim))


def spread(keys: Keys, shape: tuple[int, ...]) -> tuple[Keys, int]:
    """Keys of what axis 0 runs over, and how many numbers each needs to fill a shape."""
    total = int(np.prod(shape))
    if shape and shape[0] % len(keys) == 0 and total:
        return keys, total // len(keys)
    return keys[:1], total
