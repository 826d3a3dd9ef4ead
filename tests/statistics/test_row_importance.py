"""The diagonal Fisher information of rows, against torch autograd sample by sample."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.options import Selection
from onnx_factorize.outputs import survey
from onnx_factorize.passes import FindTargets, OutputKind
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.observer import Observer
from onnx_factorize.statistics.row_importance import row_importance
from onnx_factorize.statistics.sampling import Sampling

torch = pytest.importorskip("torch")

SAMPLES = 24
WEIGHTS = {
    "w1": normal(1, 6, 4, 3, 3) / 5,
    "b1": normal(2, 6),
    "w2": normal(3, 6 * 16, 8) / 5,
    "b2": normal(4, 8),
    "w3": normal(5, 8, 12) / 3,
}
GRAPH = """(float[batch, 4, 6, 6] x) => (float[batch, 12] logits) {
    [conv] c = Conv <kernel_shape = [3, 3]> (x, w1, b1)
    r = Relu (c)
    f = Flatten (r)
    [narrow] h = Gemm (f, w2, b2)
    t = Tanh (h)
    [wide] logits = MatMul (t, w3)
}"""


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 4, 6, 6)).astype(np.float32)
    return {"x": x, "label": rng.integers(0, 12, SAMPLES)}


def _squared_gradients(images):
    """Row sums of squared per-sample gradients of the cross entropy, by torch."""
    weights = {n: torch.tensor(w, dtype=torch.float64) for n, w in WEIGHTS.items()}
    for name in ("w1", "w2", "w3"):
        weights[name].requires_grad_()
    sums = {}
    for x, label in zip(images["x"], images["label"], strict=True):
        conv = torch.nn.functional.conv2d(
            torch.tensor(x[None], dtype=torch.float64), weights["w1"], weights["b1"]
        )
        hidden = torch.tanh(torch.relu(conv).flatten(1) @ weights["w2"] + weights["b2"])
        loss = torch.nn.functional.cross_entropy(hidden @ weights["w3"], torch.tensor([int(label)]))
        found = torch.autograd.grad(loss, [weights[n] for n in ("w1", "w2", "w3")])
        rows = (found[0].flatten(1).T, *found[1:])
        for name, gradient in zip(("conv", "narrow", "wide"), rows, strict=True):
            sums[name] = sums.get(name, 0) + gradient.square().sum(dim=1).numpy()
    return {name: total / SAMPLES for name, total in sums.items()}


def test_it_agrees_with_autograd(images):
    graph = ir.from_proto(model(GRAPH, WEIGHTS))
    finder = FindTargets()
    finder(graph)
    assert {target.side for target in finder.targets} == {"input", "output"}
    data = open_calibration([images], Signature.of(graph), Selection(holdout=0.0, batch_size=5))
    kinds = {"logits": OutputKind("categorical", -1, "logit")}
    outputs = survey(OnnxRuntime().session(graph), kinds, data, labels="given").outputs
    given = Sampling(labels="given")
    observer = Observer(graph, finder.targets, OnnxRuntime(), outputs, given, side="input")
    found = row_importance(observer, finder.targets, data)
    for name, expected in _squared_gradients(images).items():
        np.testing.assert_allclose(found[name].mean, expected[None], rtol=1e-4)


def test_important_rows_are_kept(images):
    """Where one row of a weight carries all of the gradient, a cut leaves it alone."""
    weights = {"w": normal(1, 16, 16)}
    text = "(float[batch, 16] x) => (float[batch, 16] logits) { [one] logits = MatMul (x, w) }"
    x = np.full((SAMPLES, 16), 1e-3, np.float32)
    x[:, 3] = 1.0 + np.arange(SAMPLES) / SAMPLES
    result = factorize(model(text, weights), [{"x": x}], weighting="diagonal", budget="targets=0.5")
    factors = [value.const_value.numpy() for value in result.model.graph.initializers.values()]
    first, second = sorted(factors, key=lambda f: -f.shape[0])
    error = np.square(first @ second - weights["w"]).sum(axis=1)
    assert error[3] < 1e-3 * error.mean()
