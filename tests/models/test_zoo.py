"""Each fetched model gives the figures that it gave when its recipe was written."""

import numpy as np
import pytest

import models
from models.session import Model

pytestmark = pytest.mark.zoo

# The dense model's main metric may not fall below this, with the test cut to 100 samples.
FLOOR = {
    "ppocr-rec": 0.9,
    "ppocr-det": 0.8,
    "ppocr-cls": 0.9,
    "minilm": 0.4,
    "efficientnet-lite0": 1.0,
    "silero-vad": 0.96,
    "silero-vad-if": 0.96,
    "magika": 0.9,
    "crepe-tiny": 0.97,
    "fashion-cnn": 0.88,
    "fashion-resnet": 0.85,
    "fashion-vit": 0.8,
    "smollm2": 0.3,
}


def test_every_model_has_a_floor():
    assert set(FLOOR) == set(models.names())


@pytest.mark.parametrize("name", models.names())
def test_dense_model(name):
    recipe = models.get(name)
    recipe.fetch()
    metrics = recipe.evaluate(recipe.model_path, limit=100)
    assert next(iter(metrics.values())) >= FLOOR[name]
    assert metrics.get("agreement", 1) == 1
    assert metrics.get("kl", 0) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", models.names())
def test_calibration_data_feed_the_model(name):
    recipe = models.get(name)
    recipe.fetch()
    model = Model(recipe.model_path)
    files = sorted(recipe.calib_path.glob("*.npz")) or [recipe.calib_path]
    for file in (files[0], files[-1]):
        with np.load(file) as data:
            assert set(data.files) - {"label"} == set(model.inputs)
            rows = {key: data[key] for key in model.inputs}
            assert all(np.isfinite(result).all() for result in model(rows))
