"""Folds: alike samples stay together, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize.calibration.folds import deal, some_of
from onnx_factorize.options import FOLDS


def _groups(groups, size, seed=0, noise=0.05):
    """Samples in turn of some groups, alike within a group: signatures and the group of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((groups, 40))
    of = np.arange(groups * size) % groups
    return (centres[of] + noise * rng.standard_normal((len(of), 40))).astype(np.float32), of


@pytest.mark.parametrize(("groups", "size"), [(8, 8), (12, 20), (16, 12)])
def test_alike_samples_share_a_fold(groups, size):
    signatures, of = _groups(groups, size)
    folds = deal(signatures, len(of))
    divided = np.mean([len(set(folds[of == group])) > 1 for group in range(groups)])
    assert divided <= 0.25
    counts = np.bincount(folds, minlength=FOLDS)
    assert counts.min() > 0.5 * len(of) / FOLDS


def test_it_repeats():
    signatures, of = _groups(20, 10, noise=1.0)
    assert np.array_equal(deal(signatures, len(of), 3), deal(signatures, len(of), 3))


def test_without_signatures_neighbours_stay_together():
    folds = deal(None, 64)
    assert set(folds) == set(range(FOLDS))
    assert (np.diff(folds) != 0).sum() < 2 * FOLDS


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 13])
def test_every_fold_gets_a_sample(samples):
    signatures = np.random.default_rng(0).standard_normal((samples, 6)).astype(np.float32)
    for given in (signatures, None, np.ones_like(signatures)):
        folds = deal(given, samples)
        assert folds.shape == (samples,)
        assert set(folds) == set(range(min(samples, FOLDS)))


def test_some_of_a_fold_are_evenly_spread():
    folds = np.array([0, 1] * 50)
    assert np.array_equal(some_of(1, folds, 100), folds == 1)
    chosen = np.flatnonzero(some_of(1, folds, 5))
    assert np.array_equal(chosen, [1, 21, 41, 61, 81])
    assert not some_of(2, folds, 5).any()
