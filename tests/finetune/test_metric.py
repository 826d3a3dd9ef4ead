"""The metric that torch measures: rows are what weights multiply, gradients those of labels."""

from __future__ import annotations

import numpy as np
import pytest
from builders import distribution, found, model, normal

torch = pytest.importorskip("torch")

from onnx_factorize.finetune.metric import (  # noqa: E402
    _outputs_of,
    measure_metric,
    rows_of,
)
from onnx_factorize.passes import OutputKind  # noqa: E402
from onnx_factorize.torch import to_torch  # noqa: E402

CONVOLUTIONS = {
    "plain": ("kernel_shape=[3,3]", (1, 4, 6, 7), (6, 4, 3, 3)),
    "padded": ("kernel_shape=[3,3], pads=[1,0,2,1], strides=[2,1]", (2, 4, 6, 7), (6, 4, 3, 3)),
    "dilated": (
        'kernel_shape=[3,2], dilations=[2,3], auto_pad="SAME_LOWER"',
        (2, 4, 9, 8),
        (6, 4, 3, 2),
    ),
    "grouped": ("kernel_shape=[2,2], group=2", (2, 4, 5, 5), (6, 2, 2, 2)),
    "line": ("kernel_shape=[3], pads=[1,1]", (2, 4, 9), (6, 4, 3)),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_rows_of_a_convolution(kind):
    options, size, shape = CONVOLUTIONS[kind]
    places = [f"d{i}" for i in range(len(shape) - 2)]
    given, made = (", ".join(["n", name, *places]) for name in ("c", "m"))
    text = f"(float[{given}] x) => (float[{made}] y) {{ y = Conv <{options}> (x, w) }}"
    proto = model(text, {"w": normal(1, *shape)})
    ready, finder = found(proto)
    (target,) = finder.targets
    module = to_torch(ready)
    run = module.run({"x": normal(2, *size)}, capture=["x"])
    generator = torch.Generator().manual_seed(0)
    rows = rows_of(target, run.captured["x"].detach(), 10**6, generator).double()
    y = _outputs_of(target, run.outputs["y"].detach()).double()
    made = rows @ torch.from_numpy(target.matrices())
    # The places are shuffled: moments do not mind.
    torch.testing.assert_close(made.mT @ made, y.mT @ y, rtol=1e-4, atol=1e-3)


def test_gradients_of_a_softmax(mlp, mlp_feeds):
    """G at logits is E[diag(p) - p pᵀ], what labels drawn often enough come to."""
    ready, finder = found(mlp)
    module = to_torch(ready)
    logits = module(torch.from_numpy(mlp_feeds[0]["x"]))["y"].detach().numpy()
    outputs = {"y": distribution(OutputKind("categorical", -1), logits)}
    batches = [{key: torch.from_numpy(value) for key, value in mlp_feeds[0].items()}] * 2000
    metric = measure_metric(module, finder.targets, outputs, batches, damping=0.0)
    p = module(batches[0]["x"])["y"].detach().double()
    exact = (torch.diag_embed(p) - p[:, :, None] * p[:, None]).mean(0)
    A, G = metric["second"]
    torch.testing.assert_close(G[0], exact, rtol=0, atol=0.02)
    r = np.maximum(mlp_feeds[0]["x"] @ to_numpy(module, "w1") + to_numpy(module, "b1"), 0)
    torch.testing.assert_close(
        A[0], torch.from_numpy(r.T @ r / len(r)).double(), rtol=1e-4, atol=1e-4
    )
    assert all(parameter.grad is None for parameter in module.parameters())


def to_numpy(module, name):
    return module.get_parameter(name).detach().numpy()
