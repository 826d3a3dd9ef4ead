"""Answers of the dense model that are cached: the same ones, asked for once, or none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from onnx_factorize.calibration import Batch
from onnx_factorize.finetune.teacher_cache import TeacherCache


class _Model:
    """Answers with the sum of each row, and counts how often it is asked."""

    def __init__(self, *, by_row=True):
        self.asked, self.by_row = 0, by_row

    def __call__(self, batch):
        self.asked += 1
        total = batch.feeds["x"].sum(1)
        # Layers along axis 0, as recurrent states have them.
        return {"y": total[:, None] if self.by_row else np.stack([total, -total])}


def _batches(x, size=4):
    parts = [x[start : start + size] for start in range(0, len(x), size)]
    return [Batch({"x": part}, len(part), None, "") for part in parts]


def _filled(model, batches, **options):
    cache = TeacherCache(model, **options)
    list(cache.fill(batches))
    model.asked = 0
    return cache


def test_samples_are_known_in_any_order_and_batch():
    model, x = _Model(), np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    cache = _filled(model, _batches(x))
    order = np.random.default_rng(1).permutation(10)
    for batch in _batches(x[order], 3):
        np.testing.assert_array_equal(cache(batch)["y"], batch.feeds["x"].sum(1, keepdims=True))
    assert model.asked == 0
    cache(_batches(x + 1)[0])
    assert model.asked == 1


def test_strings_and_shapes_tell_samples_apart():
    x = np.array([["a", "bc"], ["ab", "c"]], object)
    cache = TeacherCache(
        lambda batch: {"y": np.array([[float(len(row[0]))] for row in batch.feeds["x"]])}
    )
    list(cache.fill([Batch({"x": x}, 2, None, "")]))
    assert cache(Batch({"x": x[::-1]}, 2, None, ""))["y"].tolist() == [[2.0], [1.0]]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_answers_that_are_not_by_sample_are_asked_for_again(size):
    model, x = _Model(by_row=False), np.random.default_rng(0).normal(size=(8, 3))
    batches = _batches(x, size)
    cache = _filled(model, batches)
    for batch in batches:
        assert cache(batch)["y"].shape == (2, size)
    assert model.asked == len(batches)


def test_answers_that_look_at_their_batch_are_asked_for_again():
    """As a dynamically quantized model's do, whose scale is that of all samples."""
    x = np.random.default_rng(0).normal(size=(8, 3))
    x[0] *= 10
    asked = []

    def answer(batch):
        asked.append(batch)
        return {"y": batch.feeds["x"] / np.abs(batch.feeds["x"]).max()}

    cache = TeacherCache(answer)
    list(cache.fill(_batches(x)))
    before = len(asked)
    cache(_batches(x)[0])
    assert len(asked) == before + 1


def test_more_than_fits_is_forgotten():
    model, x = _Model(), np.ones((10, 3)) * np.arange(10)[:, None]
    cache = _filled(model, _batches(x), most_bytes=40)
    assert len(_batches(x)) == 3
    for batch in _batches(x):
        cache(batch)
    assert model.asked == 3
