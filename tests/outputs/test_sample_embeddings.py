"""Signatures: one vector a sample, from outputs of any kind and shape."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize.outputs.sample_embeddings import signature
from onnx_factorize.passes import OutputKind

GAUSSIAN = OutputKind("gaussian")


@pytest.mark.parametrize(
    ("shape", "kind", "features"),
    [
        ((5, 10), OutputKind("categorical", -1, "logit"), 10),
        ((5, 7, 10), OutputKind("categorical", 2), 10),
        ((5, 10, 7), OutputKind("categorical", 1), 10),
        ((5, 10, 8, 8), OutputKind("categorical", 1), 160),
        ((5, 1, 32, 48), OutputKind("bernoulli"), 16),
        ((5, 9, 384), GAUSSIAN, 256),
        ((5, 1000), OutputKind("categorical", -1, "logit"), 256),
        ((5, 3), GAUSSIAN, 3),
    ],
)
def test_shapes(shape, kind, features):
    value = np.random.default_rng(0).random(shape).astype(np.float32)
    found = signature({"y": value}, {"y": kind}, 5)
    assert found is not None
    assert found.shape == (5, features)
    assert np.isfinite(found).all()


def test_padding_does_not_count():
    rng = np.random.default_rng(0)
    value = rng.standard_normal((2, 6, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]], bool)
    changed = value.copy()
    changed[0, 3:] = 100
    one, other = (signature({"y": v}, {"y": GAUSSIAN}, 2, mask) for v in (value, changed))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one[0], value[0, :3].mean(axis=0), rtol=1e-5)


def test_classes_that_are_ruled_out():
    value = np.array([[0.0, -np.inf], [1.0, -np.inf]], np.float32)
    found = signature({"y": value}, {"y": OutputKind("categorical", -1, "logit")}, 2)
    assert np.isfinite(found).all()


def test_outputs_that_do_not_belong_to_samples():
    state = np.zeros((2, 5, 8), np.float32)
    assert signature({"state": state}, {"state": GAUSSIAN}, 5) is None
