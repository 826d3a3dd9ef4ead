"""Labels drawn by fed numbers: their gradients have the moments of the Fisher information."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from builders import distribution, model

from onnx_factorize.keyed_random import keys_of
from onnx_factorize.passes import OutputKind, SeedOutputs

DRAWS = 20000


def _gradients(output, rows, *, opset=20, mask=None, seed=0, labels=None):
    """The gradients that are seeded at an output which repeats `rows` of numbers."""
    shape = ", ".join(map(str, rows.shape))
    text = f"(float[{shape}] x) => (float[{shape}] y) {{ y = Identity (x) }}"
    graph = ir.from_proto(model(text, {}, opset=opset))
    seeds = SeedOutputs({"y": output.seed(given=labels is not None)})
    seeds(graph)
    (gradient,) = seeds.seeds.values()
    gradient.type = ir.TensorType(ir.DataType.FLOAT)
    graph.graph.outputs.append(gradient)
    session = ort.InferenceSession(
        ir.to_proto(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    keys = keys_of(np.arange(len(rows)), seed, "y")
    fed = output.feeds(seeds.inputs["y"], rows.shape, keys, mask, labels)
    feeds = {"x": rows} | fed
    feeds = {name: array.astype(np.float32) for name, array in feeds.items()}
    found, size = session.run([gradient.name, seeds.inputs["y"].size], feeds)
    assert tuple(size) == rows.shape
    return found.astype(np.float64)


@pytest.mark.parametrize("opset", [9, 12, 13, 20])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("scale", ["logit", "log-probability", "probability"])
def test_categorical(opset, axis, scale):
    p = np.array([0.6, 0.3, 0.1])
    rows = {"logit": np.log(p) + 2.0, "log-probability": np.log(p), "probability": p}[scale]
    shape = (DRAWS, 3, 1) if axis == 1 else (DRAWS, 1, 3)
    tiled = np.broadcast_to(rows.reshape(shape[1:]), shape)
    output = distribution(OutputKind("categorical", axis, scale), tiled)
    g = _gradients(output, tiled, opset=opset).reshape(DRAWS, 3)
    # As a gradient with respect to logits: straight, or through exp or softmax.
    if scale == "log-probability":
        g = g - p * g.sum(axis=1, keepdims=True)
    elif scale == "probability":
        g = p * (g - (g * p).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(g.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(g.T @ g / DRAWS, np.diag(p) - np.outer(p, p), atol=0.02)


@pytest.mark.parametrize(
    "kind",
    [
        OutputKind("categorical", -1, "logit"),
        OutputKind("categorical", -1, "logit", certain=False),
        OutputKind("categorical", -1),
        OutputKind("bernoulli"),
        OutputKind("gaussian"),
    ],
)
def test_half_of_the_mean_square_is_the_divergence_of_a_small_change(kind):
    """What ties calibration to verification, in every kind, with parts of different scale."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 6)) * [1, 1, 1, 50, 50, 50 if kind.kind == "gaussian" else 1]
    if kind.kind != "gaussian":
        values = rng.normal(size=(400, 6))
    if kind.kind == "bernoulli":
        values = 1 / (1 + np.exp(-values))
    elif kind.scale == "probability" and kind.kind == "categorical":
        values = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    output = distribution(kind, values)
    change = 1e-3 * rng.normal(size=values.shape) * values.std(axis=0)
    if kind.scale == "probability" and kind.kind == "categorical":
        change = values * (change - (values * change).sum(-1, keepdims=True))
    exact = output.compare(values, values + change, 400).divergence
    found = [(_gradients(output, values, seed=draw) * change).sum(axis=1) for draw in range(60)]
    assert 0.5 * np.square(found).mean() == pytest.approx(exact, rel=0.1)


def test_certain_events_have_finite_gradients():
    for p in (0.0, 1.0):
        rows = np.full((50, 2), p)
        assert np.isfinite(_gradients(distribution(OutputKind("bernoulli"), rows), rows)).all()


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli", "categorical"])
def test_padding_has_no_gradient(kind):
    mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
    rows = np.random.default_rng(0).uniform(0.2, 0.8, (2, 3, 4))
    output = distribution(OutputKind(kind, -1), rows, mask)
    g = _gradients(output, rows, mask=mask)
    assert (g[~mask] == 0).all()
    assert (g[mask] != 0).any(axis=1).all()


def test_a_sample_has_the_same_labels_in_every_batch():
    rows = np.random.default_rng(0).normal(size=(6, 5))
    output = distribution(OutputKind("categorical", -1, "logit"), rows)
    whole = _gradients(output, rows)
    np.testing.assert_array_equal(whole, _gradients(output, rows))
    np.testing.assert_array_equal(whole[:2], _gradients(output, rows[:2]))
    assert (whole != _gradients(output, rows, seed=2)).any()


def test_given_labels():
    rows = np.random.default_rng(0).normal(size=(4, 3))
    labels = np.array([0, 2, -1, 1])
    output = distribution(OutputKind("categorical", -1, "logit"), rows)
    p = np.exp(rows) / np.exp(rows).sum(-1, keepdims=True)
    wanted = p - np.eye(4, 3)[[0, 2, 3, 1]]
    wanted[2] = 0
    np.testing.assert_allclose(_gradients(output, rows, labels=labels), wanted, atol=1e-6)
    plain = distribution(OutputKind("gaussian"), rows)
    values = np.random.default_rng(1).normal(size=(4, 3))
    variance = plain.parts[0].deviation ** 2
    found = _gradients(plain, rows, labels=values)
    np.testing.assert_allclose(found, (rows - values) / variance / np.sqrt(3), rtol=1e-4)
