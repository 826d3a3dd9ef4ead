"""Channels of real models go without a trace."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, session
from narrowed_channels import channels, mask, narrow

CACHE = pathlib.Path(os.environ.get("ONNX_FACTORIZE_MODELS", "models/cache"))
MODELS = sorted(CACHE.glob("*/model.onnx"))


def feeds(model: ir.Model) -> dict[str, np.ndarray]:
    """Noise of small shapes, and for integers zeros and ones."""
    rng, made = np.random.default_rng(0), {}
    for value in model.graph.inputs:
        sizes = [
            d if isinstance(d, int) and d > 0 else (2, 32)[i > 0] for i, d in enumerate(value.shape)
        ]
        noise = rng.standard_normal(sizes)
        dtype = value.dtype.numpy()
        made[value.name] = (noise if dtype.kind == "f" else noise > 0).astype(dtype)
    return made


def check(model: ir.Model, inputs: dict[str, np.ndarray]) -> None:
    dense, finder = channels(model)
    rng = np.random.default_rng(1)
    kept = {}
    for group in finder.groups:
        count = rng.integers(1, group.width + 1)
        kept[group.name] = np.sort(rng.permutation(group.width)[:count])
        mask(group, kept[group.name])
    made = narrow(dense, kept)
    outputs = (session(each).run(None, inputs) for each in (dense, made))
    for one, other in zip(*outputs, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())


def test_the_bundled_model():
    model = ir.load(BUNDLED)
    check(model, feeds(model))


@pytest.mark.zoo
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_real_models(path):
    model = ir.load(path)
    inputs = feeds(model)
    if "sr" in inputs:  # of a voice activity detector: the rate that its branch is chosen by
        inputs |= {"sr": np.array(16000), "input": 0.1 * inputs["input"][:, :1].repeat(576, 1)}
        inputs["state"] = np.zeros((2, 2, 128), np.float32)
    check(model, inputs)


# By model and operator on the way, how many groups of channels have it.
ON_THE_WAY = [("ppocr-cls", "GlobalAveragePool", 10), ("fashion-vit", "Split", 4)]


@pytest.mark.zoo
@pytest.mark.parametrize(("name", "between", "count"), ON_THE_WAY)
def test_squeeze_and_excitation_and_split_in_real_models(name, between, count):
    """Those that a network scales by itself go with its two small layers; heads go as a whole."""
    path = CACHE / name / "model.onnx"
    if not path.is_file():
        pytest.skip(f"python -m models fetch {name}")
    _, finder = channels(ir.load(path))
    found = [g for g in finder.groups if any(node.op_type == between for node in g.nodes)]
    assert len(found) == count
    if between == "GlobalAveragePool":
        scaled = [g for g in found if len(g.producers) > 1 and len(g.readers) > 1]
        assert len(scaled) >= count - 1
