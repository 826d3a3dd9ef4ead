"""Metrics as pure functions on arrays."""

import numpy as np

from models.session import Array

_TINY = 1e-12


def softmax(logits: Array) -> Array:
    """Return the softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def divergence(dense: Array, other: Array) -> float:
    """Return the mean Kullback-Leibler divergence KL(dense || other), in nats.

    Args:
        dense: probabilities over the last axis.
        other: likewise, of the same shape.
    """
    p = np.clip(dense.astype(np.float64), _TINY, None)
    q = np.clip(other.astype(np.float64), _TINY, None)
    return float(np.mean(np.sum(p * (np.log(p) - np.log(q)), axis=-1)))


class Mean:
    """A running, weighted mean."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._weight = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Add a value (or the mean of `weight` values)."""
        self._sum += float(value) * weight
        self._weight += weight

    @property
    def value(self) -> float:
        """The mean of all that was added; NaN if nothing was."""
        return self._sum / self._weight if self._weight else float("nan")


class Overlap:
    """F1 and intersection over union of pixel masks, over all pixels that were added."""

    def __init__(self) -> None:
        self._both = self._first = self._second = 0

    def add(self, first: Array, second: Array) -> None:
        """Add a pair of boolean masks."""
        self._both += int(np.sum(first & second))
        self._first += int(np.sum(first))
        self._second += int(np.sum(second))

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 if all masks are empty."""
        total = self._first + self._second
        return 2 * self._both / total if total else 1.0

    @property
    def iou(self) -> float:
        """Intersection over union; 1 if all masks are empty."""
        union = self._first + self._second - self._both
        return self._both / union if union else 1.0


def reciprocal_rank(scores: Array, cutoff: int) -> float:
    """Return the mean reciprocal rank, where candidate i is the right one for query i.

    Args:
        scores: [queries, candidates], higher is better; a tie counts against the right one.
        cutoff: a rank beyond it counts as 0.
    """
    right = np.diagonal(scores)[:, None]
    ranks = (scores >= right).sum(axis=1)
    return float(np.mean(np.where(ranks <= cutoff, 1.0 / ranks, 0.0)))


def area_under_roc(scores: Array, truth: Array) -> float:
    """Return the area under the ROC curve, ties counted half.

    Args:
        scores: [n], higher for the positive class.
        truth: bool [n].
    """
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not len(values) or not positives or not negatives:
        return float("nan")
    excess = ranks[truth].sum() - positives * (positives + 1) / 2
    return float(excess / (positives * negatives))


def bernoulli_divergence(dense: Array, other: Array) -> float:
    """Return the mean over rows of the sum of KL(dense || other) of independent probabilities."""
    p, q = (np.clip(each.astype(np.float64), _TINY, 1 - _TINY) for each in (dense, other))
    terms = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return float(np.mean(terms.sum(axis=-1)))
