"""From a factorized graph to torch, through training, and back into the graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import found, normal, run, svd_factors

torch = pytest.importorskip("torch")

from onnx_factorize.passes import RewriteTargets  # noqa: E402
from onnx_factorize.torch import check_against_onnxruntime, to_torch, write_back  # noqa: E402


def test_cut_train_and_write_back(mlp, mlp_feeds):
    model, finder = found(mlp)
    x = np.concatenate([feed["x"] for feed in mlp_feeds])
    (goal,) = (torch.from_numpy(y) for y in run(mlp, {"x": x}))
    RewriteTargets({t.name: svd_factors(t, t.full_rank // 4) for t in finder.targets})(model)

    def divergence(given):
        return torch.nn.functional.kl_div(given.log(), goal, reduction="batchmean")

    module = to_torch(model)
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = divergence(module(torch.from_numpy(x))["y"])
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    write_back(module, model)
    (after,) = run(ir.to_proto(model), {"x": x})
    assert float(divergence(torch.from_numpy(after))) < losses[0] / 2
    assert check_against_onnxruntime(to_torch(model), model, {"x": normal(3, 5, 24)}) < 1e-4
