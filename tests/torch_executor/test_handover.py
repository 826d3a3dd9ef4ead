"""From a graph to torch, through training under thresholding, and back into the graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import found, normal, run

torch = pytest.importorskip("torch")

from onnx_factorize.passes import Factors, RewriteTargets  # noqa: E402
from onnx_factorize.torch import (  # noqa: E402
    SVT,
    Schedule,
    SVTTarget,
    check_against_onnxruntime,
    to_torch,
    write_back,
)


def test_train_cut_and_rewrite(mlp, mlp_feeds):
    model, finder = found(mlp)
    module = to_torch(model)
    x = torch.from_numpy(np.concatenate([feed["x"] for feed in mlp_feeds]))
    with torch.no_grad():
        goal = module(x)["y"]
    targets = []
    for target in finder.targets:
        rows = module.run({"x": x}, capture=[target.x.name]).captured[target.x.name].detach()
        A = (rows.T @ rows / len(rows)).double()[None] + 1e-3 * torch.eye(target.rows)
        targets.append(SVTTarget.of(module, target, A))
    budget = 0.5 * sum(target.dense for target in targets)
    svt = SVT(
        torch.optim.Adam(module.parameters(), 2e-3),
        targets,
        schedule=Schedule(2 * budget, budget, 120),
        every=10,
    )
    for _ in range(200):
        svt.zero_grad()
        loss = torch.nn.functional.kl_div(module(x)["y"].log(), goal, reduction="batchmean")
        loss.backward()
        svt.step()
    assert svt.history[-1].cost <= budget
    assert float(loss.detach()) < 0.02
    write_back(module, model)
    factors = {
        name: Factors(*(factor.numpy() for factor in pair))
        for name, pair in svt.factors(budget).items()
        if pair is not None
    }
    assert factors
    RewriteTargets(factors)(model)
    (after,) = run(ir.to_proto(model), {"x": x.numpy()})
    after = torch.from_numpy(after).log()
    assert float(torch.nn.functional.kl_div(after, goal, reduction="batchmean")) < 0.03
    again = to_torch(model)
    assert check_against_onnxruntime(again, model, {"x": normal(3, 5, 24)}) < 1e-4
    assert sum(p.numel() for p in again.parameters()) < sum(p.numel() for p in module.parameters())
