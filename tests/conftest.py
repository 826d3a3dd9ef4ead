"""Shared settings and fixtures."""

from __future__ import annotations

import pathlib

import hypothesis
import numpy as np
import pytest
from builders import model, normal, weights_as_time

from onnx_factorize.runtime import latency_cache, this_machine

hypothesis.settings.register_profile(
    "suite", deadline=None, max_examples=40, derandomize=True, database=None
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def mlp():
    """Two dense layers with a bias, a softmax at the end: float[batch, 24] to float[batch, 6]."""
    text = """(float[batch, 24] x) => (float[batch, 6] y) {
        [first] h = MatMul (x, w1)
        [add] hb = Add (h, b1)
        [relu] r = Relu (hb)
        [second] logits = Gemm (r, w2, b2)
        [softmax] y = Softmax <axis = -1> (logits)
    }"""
    weights = {
        "w1": normal(1, 24, 32) / 5,
        "b1": normal(2, 32),
        "w2": normal(3, 32, 6) / 5,
        "b2": normal(4, 6),
    }
    return model(text, weights)


@pytest.fixture(scope="session")
def mlp_feeds():
    """Forty samples, in feeds of ten."""
    return [{"x": normal(10 + i, 10, 24)} for i in range(4)]


@pytest.fixture
def time_is_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Timing decides no test: operators take as long as they have weights."""
    monkeypatch.setattr(this_machine, "time_fed", weights_as_time)
    monkeypatch.setattr(latency_cache, "_cache_folder", lambda: tmp_path)


@pytest.fixture
def mlp_path(mlp, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "mlp.onnx"
    path.write_bytes(mlp.SerializeToString())
    return path


@pytest.fixture
def mlp_data(mlp_feeds, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.concatenate([feed["x"] for feed in mlp_feeds]))
    return path
