"""Random numbers belong to a sample and a purpose, and are distributed as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize.keyed_random import exponential, keys_of, normal, places, uniform

INDICES = np.arange(400)


@pytest.mark.parametrize("draw", [uniform, exponential, normal])
def test_a_sample_has_its_own_numbers_whatever_is_beside_it(draw):
    keys = keys_of(INDICES, 3, "y", 0)
    whole = draw(keys, 50)
    np.testing.assert_array_equal(whole[7:9], draw(keys_of(INDICES[7:9], 3, "y", 0), 50))
    for other in ((4, "y", 0), (3, "z", 0), (3, "y", 1)):
        assert (draw(keys_of(INDICES, *other), 50) != whole).mean() > 0.99
    assert abs(np.corrcoef(whole[0], whole[1])[0, 1]) < 0.5
    assert whole.dtype == np.float32


def test_moments():
    keys = keys_of(INDICES, 0)
    assert normal(keys, 500).mean() == pytest.approx(0, abs=0.01)
    assert normal(keys, 500).std() == pytest.approx(1, abs=0.01)
    assert exponential(keys, 500).mean() == pytest.approx(1, abs=0.01)
    assert uniform(keys, 500).mean() == pytest.approx(0.5, abs=0.01)
    # Between samples and between places nothing is shared.
    assert np.abs(np.corrcoef(normal(keys, 500)) - np.eye(400)).mean() < 0.05


def test_places_are_different_and_evenly_spread():
    found = places(keys_of(np.arange(4000), 1, "conv"), 25, 5)
    assert found.shape == (4000, 5)
    assert (np.diff(found, axis=1) > 0).all()
    counts = np.bincount(found.ravel(), minlength=25)
    assert counts.min() > 700
    assert counts.max() < 900
    np.testing.assert_array_equal(found[5:7], places(keys_of(np.arange(5, 7), 1, "conv"), 25, 5))
