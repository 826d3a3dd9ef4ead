"""Labels drawn in the graph: their gradients have the moments of the Fisher information."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from builders import model

from onnx_factorize.passes import OutputKind, OutputSeed
from onnx_factorize.passes.sample_labels import SampleLabels

DRAWS = 20000


def _gradients(kind, rows, opset=20, scale=1.0, mask=None, seed=0):
    """The gradients that are seeded at an output which repeats `rows` of numbers."""
    shape = ", ".join(map(str, rows.shape))
    inputs = f"float[{shape}] x"
    if mask is not None:
        inputs += f", int64[{mask.shape[0]}, {mask.shape[1]}] attention_mask"
    proto = model(f"({inputs}) => (float[{shape}] y) {{ y = Identity (x) }}", {}, opset=opset)
    graph = ir.from_proto(proto)
    name = None if mask is None else "attention_mask"
    labels = SampleLabels({"y": OutputSeed(kind, scale, name)}, seed)
    labels(graph)
    (gradient,) = labels.seeds.values()
    gradient.type = ir.TensorType(ir.DataType.FLOAT)
    graph.graph.outputs.append(gradient)
    session = ort.InferenceSession(
        ir.to_proto(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {"x": rows.astype(np.float32)}
    if mask is not None:
        feeds["attention_mask"] = mask
    return session.run([gradient.name], feeds)[0].astype(np.float64)


@pytest.mark.parametrize("opset", [9, 12, 13, 20])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("scale", ["logit", "log-probability", "probability"])
def test_categorical(opset, axis, scale):
    p = np.array([0.6, 0.3, 0.1])
    rows = {"logit": np.log(p) + 2.0, "log-probability": np.log(p), "probability": p}[scale]
    shape = (DRAWS, 3, 1) if axis == 1 else (DRAWS, 1, 3)
    tiled = np.broadcast_to(rows.reshape(shape[1:]), shape)
    g = _gradients(OutputKind("categorical", axis, scale), tiled, opset).reshape(DRAWS, 3)
    # As a gradient with respect to logits: straight, or through exp or softmax.
    if scale == "log-probability":
        g = g - p * g.sum(axis=1, keepdims=True)
    elif scale == "probability":
        g = p * (g - (g * p).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(g.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(g.T @ g / DRAWS, np.diag(p) - np.outer(p, p), atol=0.02)


def test_bernoulli():
    p = np.array([0.5, 0.9, 0.02])
    g = _gradients(OutputKind("bernoulli"), np.broadcast_to(p, (DRAWS, 3)))
    np.testing.assert_allclose((g * p * (1 - p)).mean(axis=0), 0, atol=0.02)
    # The information of an event about its probability is 1 / (p (1 - p)).
    np.testing.assert_allclose(np.square(g).mean(axis=0) * p * (1 - p), 1, rtol=0.15)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_events_have_finite_gradients(p):
    g = _gradients(OutputKind("bernoulli"), np.full((50, 2), p))
    assert np.isfinite(g).all()


def test_gaussian_of_a_scale():
    g = _gradients(OutputKind("gaussian"), np.zeros((DRAWS, 2)), scale=3.0)
    np.testing.assert_allclose(g.T @ g / DRAWS, 9 * np.eye(2), atol=0.5)


def test_padding_has_no_gradient():
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    g = _gradients(OutputKind("gaussian"), np.zeros((2, 3, 4)), mask=mask)
    assert ((g != 0).all(axis=2) == mask.astype(bool)).all()
    assert (g[~mask.astype(bool)] == 0).all()


def test_a_seed_repeats_and_another_does_not():
    rows = np.zeros((5, 4))
    kind = OutputKind("gaussian")
    assert (_gradients(kind, rows, seed=1) == _gradients(kind, rows, seed=1)).all()
    assert (_gradients(kind, rows, seed=1) != _gradients(kind, rows, seed=2)).any()
