"""Divide calibration samples into folds that do not share what is alike.

Directions found in some folds are judged on the others (cross-fitting), which is honest only if
the folds are independent. Calibration data seldom are: crops of one photograph, frames of one
stream, sentences of one text. Folds that share what is alike hide how little the data tell. What
is alike for the model has alike outputs, wherever it stands in the data: so samples are clustered
by the dense model's outputs, and clusters are dealt whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..options import FOLDS

__all__ = ["deal", "some_of"]

Embeddings = npt.NDArray[np.float32]
Folds = npt.NDArray[np.int64]

# Clusters so small that samples of one class go to several folds, as they must where data are
# independent, and so large that what is alike is seldom divided.
_CLUSTERS = 3 * FOLDS
_CLUSTER_SIZE = 12
_MOST_CLUSTERS = 256

_ROUNDS = 25
_STARTS = 4


def deal(signatures: Embeddings | None, samples: int, seed: int = 0, folds: int = FOLDS) -> Folds:
    """The fold of each sample, from 0 to `folds` - 1, or fewer if there are fewer samples.

    Args:
        signatures: What the model makes of each sample, shape (samples, features); None if that is
            not known, and then the folds take turns at long stretches of neighbours.
        samples: Number of samples.
        seed: Seed of the clustering.
        folds: How many are wanted.
    """
    folds = max(1, min(folds, samples))
    clusters = min(samples, max(_CLUSTERS, samples // _CLUSTER_SIZE), _MOST_CLUSTERS)
    if signatures is None or clusters <= folds:
        return _stretches(samples, folds)
    centred = signatures - signatures.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    labels = _spherical_k_means(centred / np.maximum(norms, 1e-12), clusters, seed)
    sizes = np.bincount(labels, minlength=clusters)
    filled = np.zeros(folds, np.int64)
    fold_of_cluster = np.zeros(clusters, np.int64)
    for cluster in np.argsort(-sizes, kind="stable"):
        fold_of_cluster[cluster] = filled.argmin()
        filled[filled.argmin()] += sizes[cluster]
    if not filled.all():
        # All samples are alike, so no division is better than another.
        return _stretches(samples, folds)
    return fold_of_cluster[labels]


def some_of(fold: int, folds: Folds, most: int) -> npt.NDArray[np.bool_]:
    """Marks the samples that stand for a fold: all of its own, or `most`, evenly spread.

    Args:
        fold: Which fold.
        folds: The fold of each sample, shape (samples,).
        most: The most samples to choose.
    """
    own = np.flatnonzero(folds == fold)
    count = min(len(own), most)
    chosen = np.zeros(len(folds), bool)
    chosen[own[np.arange(count) * len(own) // max(count, 1)]] = True
    return chosen


def _stretches(samples: int, folds: int) -> Folds:
    """Two long stretches of neighbours for each fold."""
    return np.arange(samples) * min(2 * folds, samples) // samples % folds


def _spherical_k_means(rows: Embeddings, clusters: int, seed: int) -> Folds:
    """Clusters unit vectors by their angles, from several starts; shape (rows,)."""
    rng = np.random.default_rng(seed)
    best, labels = -np.inf, np.zeros(len(rows), np.int64)
    for _ in range(_STARTS):
        centres = rows[rng.choice(len(rows), clusters, replace=False)]
        for _ in range(_ROUNDS):
            similarity = rows @ centres.T
            found = similarity.argmax(axis=1)
            sums = (found == np.arange(clusters)[:, None]).astype(rows.dtype) @ rows
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            moved = np.where(norms > 0, sums / np.maximum(norms, 1e-12), centres)
            if np.array_equal(moved, centres):
                break
            centres = moved
        score = float(similarity.max(axis=1).sum())
        if score > best:
            best, labels = score, found
    return labels
