"""Fine-tuning under singular value thresholding, from one end of the pipeline to the other."""

from __future__ import annotations

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA

pytest.importorskip("torch")


from onnx_factorize import InputError, factorize

OPTIONS = {"samples": 128, "threads": 1, "weighting": "activation", "finetune": True}


@pytest.mark.parametrize("svt", ["soft", "hard", "reweighted"])
@pytest.mark.usefixtures("time_is_weights")
@pytest.mark.parametrize("budget", ["targets=0.1", "macs=0.5"])
def test_it_keeps_the_budget_and_never_loses(svt, budget):
    result = factorize(BUNDLED, BUNDLED_DATA, budget=budget, svt=svt, epochs=4, **OPTIONS)
    found = result.report.finetune
    assert found["after"] <= found["before"]
    assert len(found["svt"]) == 2
    kind, _, share = budget.partition("=")
    column = "macs" if kind == "macs" else "params"
    before, after = np.sum([getattr(layer, column) for layer in result.report.layers], axis=0)
    assert after <= float(share) * before + 1e-9
    assert found["svt"][-1]["cost"] < 1.0
    # What the report says of each layer is what the model holds.
    held = sum(v.const_value.size for v in result.model.graph.initializers.values())
    assert held == result.report.model["compressed"].params
    layers = np.sum([layer.params for layer in result.report.layers], axis=0)
    saved = result.report.model["dense"].params - result.report.model["compressed"].params
    # Operators lose what factors save, and nothing else is lost or gained but biases.
    assert saved == pytest.approx(layers[0] - layers[1], abs=64)


def test_ranks_move_and_the_better_result_is_kept(monkeypatch):
    options = {**OPTIONS, "budget": "targets=0.05", "svt": "hard", "epochs": 6}
    result = factorize(BUNDLED, BUNDLED_DATA, **options)
    found = result.report.finetune
    if found["ranks_from"] == "svt":
        # Of Tucker-2 the report has the rank of the output, whose view has the operator's name.
        wanted = found["svt"][-1]["ranks"]
        named = [layer for layer in result.report.layers if layer.name in wanted]
        assert named
        assert all(layer.rank == wanted[layer.name] for layer in named)
    monkeypatch.setattr("onnx_factorize.torch.thresholding.validation_of", lambda *_: 0.0)
    kept = factorize(BUNDLED, BUNDLED_DATA, **options)
    plain = factorize(BUNDLED, BUNDLED_DATA, **{**options, "svt": "none", "epochs": 1})
    assert kept.report.finetune["ranks_from"] == "plan"
    assert kept.report.finetune["best"] == 0
    assert [layer.rank for layer in kept.report.layers] == [
        layer.rank for layer in plain.report.layers
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"svt": "firm"}, "--svt"),
        ({"svt": "soft", "epochs": 1}, "--epochs"),
        ({"svt": "soft", "checkpoint": "run.safetensors"}, "--checkpoint"),
        ({"svt": "soft", "finetune": False}, "--finetune"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        factorize(BUNDLED, BUNDLED_DATA, **{**OPTIONS, **options})
