"""Augmentation of the user's own: what it may do, and what is said where it does more."""

from __future__ import annotations

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize import InputError, factorize
from onnx_factorize.calibration import Batch
from onnx_factorize.finetune.augmentation import Augmentation

MODULE = """
def flip(feeds, rng):
    x = feeds["image"]
    x[rng.random(len(x)) < 0.5] *= -1
    return feeds

def widened(feeds, rng):
    return {"image": feeds["image"].astype("float64")}

def lost(feeds, rng):
    return {}

def fails(feeds, rng):
    raise ValueError("no luck")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_augmentation.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def _batch():
    return Batch({"image": np.ones((64, 2), np.float32)}, 64, None, "data.npz")


def test_inputs_change_and_the_batch_does_not(own):
    batch = _batch()
    first, again, other = (
        Augmentation("own_augmentation:flip")(batch, np.random.default_rng(seed)).feeds["image"]
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(np.unique(first)) == {-1.0, 1.0}
    assert (batch.feeds["image"] == 1).all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("own_augmentation:widened", "is float64"),
        ("own_augmentation:lost", "is missing"),
        ("own_augmentation:fails", "raised ValueError: no luck"),
        ("own_augmentation:none", "has no 'none'"),
    ],
)
def test_what_the_model_does_not_take_is_refused(own, name, says):
    with pytest.raises(InputError, match=says):
        Augmentation(name)(_batch(), np.random.default_rng(0))


def test_training_sees_what_samples_became(own):
    pytest.importorskip("torch")
    options = {"samples": 64, "threads": 1, "weighting": "none", "budget": "targets=0.2"}
    tuned = [
        factorize(
            BUNDLED,
            BUNDLED_DATA,
            finetune=True,
            epochs=1,
            learning_rate=1e-3,
            augment=name,
            **options,
        )
        for name in (None, "own_augmentation:flip")
    ]
    losses = [result.report.finetune["epochs"][0]["loss"] for result in tuned]
    assert losses[0] != losses[1]
    with pytest.raises(InputError, match="raised ValueError"):
        factorize(BUNDLED, BUNDLED_DATA, finetune=True, augment="own_augmentation:fails", **options)
    with pytest.raises(InputError, match=r"^augment is an option of finetune"):
        factorize(BUNDLED, BUNDLED_DATA, augment="own_augmentation:flip", **options)
