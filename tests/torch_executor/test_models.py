"""Every real model gives what onnxruntime gives, at two input shapes, in float32 and float64."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import ROOT
from torch_executor.devices import DEVICES

torch = pytest.importorskip("torch")

from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime  # noqa: E402
from onnx_factorize.torch import check_against_onnxruntime, to_torch, write_back  # noqa: E402

pytestmark = pytest.mark.zoo

RUNTIME = OnnxRuntime(threads=1)

# (batch, length): whatever of an input's shape the model leaves open.
SHAPES = {
    "crepe-tiny": [(1, 1024), (3, 1024)],
    "efficientnet-lite0": [(1, 224), (2, 224)],
    "fashion-cnn": [(1, 28), (3, 28)],
    "fashion-resnet": [(1, 28), (3, 28)],
    "fashion-vit": [(1, 28), (3, 28)],
    "magika": [(1, 2048), (2, 2048)],
    "minilm": [(1, 12), (3, 7)],
    "ppocr-cls": [(1, 96), (2, 192)],
    "ppocr-det": [(1, 64), (2, 96)],
    "ppocr-rec": [(1, 48), (2, 320)],
    "silero-vad": [(1, 576), (2, 288)],
    "silero-vad-if": [(1, 576), (2, 288)],
}


def load(name):
    path = ROOT / "models" / "cache" / name / "model.onnx"
    if name == "fashion-cnn":
        path = ROOT / "models" / "bundled" / "fashion-cnn.onnx"
    if not path.exists():
        pytest.skip(f"python -m models fetch {name}")
    return ir.load(path)


def feeds_of(name, model, batch, length):
    rng = np.random.default_rng(batch)
    image = {"ppocr-rec": (3, 48), "ppocr-cls": (3, 48)}.get(name, (3, length))
    arrays = {
        "attention_mask": np.arange(length) < np.maximum(length - np.arange(batch), 1)[:, None],
        "bytes": rng.integers(0, 256, (batch, length)).astype(np.int32),
        "frames": rng.standard_normal((batch, length)),
        "image": rng.standard_normal((batch, 3 if name.startswith("eff") else 1, length, length)),
        "input": 0.1 * rng.standard_normal((batch, length)),
        "input_ids": rng.integers(1000, 9000, (batch, length)),
        "sr": np.array(16000 if length == 576 else 8000),
        "state": 0.1 * rng.standard_normal((2, batch, 128)),
        "token_type_ids": np.zeros((batch, length)),
        "x": rng.standard_normal((batch, *image, length)),
    }
    if name == "ppocr-det":  # on noise it answers 1e-8 everywhere
        pages = np.load(next((ROOT / "models" / "cache" / name / "calib").iterdir()))["x"]
        arrays["x"] = pages[:batch, :, 32 : 32 + length, 32 : 32 + length]
    return {v.name: arrays[v.name].astype(v.dtype.numpy()) for v in model.graph.inputs}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SHAPES)
def test_agrees_with_onnxruntime(name, device):
    model = load(name)
    module = to_torch(model).to(device)
    assert module.initializers
    for shape in SHAPES[name]:
        feeds = feeds_of(name, model, *shape)
        worst = check_against_onnxruntime(
            module.float(), model, feeds, 1e-4, OnnxRuntime(threads=1)
        )
        assert worst <= 1e-4
        worst = check_against_onnxruntime(
            module.double(), model, feeds, 1e-4, OnnxRuntime(threads=1)
        )
        assert worst <= 1e-4


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_finds_back(name):
    model = load(name)
    module = to_torch(model)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.01)
    write_back(module, model)
    feeds = feeds_of(name, model, *SHAPES[name][0])
    worst = check_against_onnxruntime(module, model, feeds, 1e-4, RUNTIME)
    assert worst <= 1e-4
    again = to_torch(model).state_dict()
    for key, value in module.state_dict().items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_autocast_runs_and_differentiates(name):
    model = load(name)
    module = to_torch(model)
    feeds = feeds_of(name, model, *SHAPES[name][0])
    exact = next(iter(module.run(feeds).outputs.values())).detach()
    with torch.autocast("cpu", torch.bfloat16):
        rough = next(iter(module.run(feeds).outputs.values())).float()
        rough.square().sum().backward()
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters())
    assert float((rough.detach() - exact).abs().max()) <= 0.2 * float(exact.abs().max())
