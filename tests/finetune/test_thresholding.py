"""Fine-tuning under singular value thresholding, from one end of the pipeline to the other."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA, normal

torch = pytest.importorskip("torch")

from onnx_factorize import InputError, factorize  # noqa: E402
from onnx_factorize.progress import Progress  # noqa: E402

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
        # Of Tucker-2 the report has the rank of the output, whose unfolding is the operator's.
        wanted = found["svt"][-1]["ranks"]
        named = [layer for layer in result.report.layers if layer.name in wanted]
        assert named
        assert all(layer.rank == wanted[layer.name] for layer in named)
    # As if the plan were better than all that is found: it is trained in the epochs that are left.
    monkeypatch.setattr("onnx_factorize.finetune.thresholding.validation_of", lambda *_: 0.0)
    kept = factorize(BUNDLED, BUNDLED_DATA, **options)
    plain = factorize(BUNDLED, BUNDLED_DATA, **{**options, "svt": "none", "epochs": 1})
    assert kept.report.finetune["ranks_from"] == "plan"
    assert len(kept.report.finetune["svt"]) == 3
    assert len(kept.report.finetune["epochs"]) == 3
    assert kept.report.finetune["after"] < kept.report.finetune["before"]
    assert kept.report.finetune["before"] == plain.report.finetune["before"]
    assert [layer.rank for layer in kept.report.layers] == [
        layer.rank for layer in plain.report.layers
    ]


class _Killed(BaseException):
    pass


class _Mortal(Progress):
    """Dies after a number of batches of training."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    @contextlib.contextmanager
    def stage(self, name, total=0):
        with super().stage(name, total) as advance:

            def count(samples):
                self.left -= name == "fine-tune"
                if self.left < 0:
                    raise _Killed
                advance(samples)

            yield count


# Batches: 3 are cached, an epoch has 3. Ranks come down within the first two of three epochs.
@pytest.mark.parametrize("killed_after", [[4], [7], [8, -3], [3, 1, -3]])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
@pytest.mark.parametrize("plan_is_better", [False, True])
def test_killed_and_resumed_it_is_the_same(
    killed_after, seconds, plan_is_better, mlp, tmp_path, monkeypatch
):
    feeds = {"x": normal(5, 128, 24)}
    monkeypatch.setattr("onnx_factorize.finetune.training_run.SECONDS", seconds)
    if plan_is_better:
        monkeypatch.setattr("onnx_factorize.finetune.thresholding.validation_of", lambda *_: 0.0)
    path = tmp_path / "run.safetensors"
    options = {**OPTIONS, "budget": "targets=0.5", "svt": "hard", "epochs": 3}
    expected = factorize(mlp, feeds, **options)
    assert len(expected.report.finetune["svt"]) == 2
    options["checkpoint"] = path
    for batches in killed_after:
        with pytest.raises(_Killed):
            factorize(mlp, feeds, progress=_Mortal(3 + batches), **options)
    torch.manual_seed(99)
    found = factorize(mlp, feeds, **options)
    assert found.report.finetune == expected.report.finetune
    for name, value in expected.model.graph.initializers.items():
        again = found.model.graph.initializers[name].const_value.numpy()
        np.testing.assert_array_equal(again, value.const_value.numpy())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"svt": "firm"}, "^svt"),
        ({"svt": "soft", "epochs": 1}, "needs epochs"),
        ({"svt": "soft", "finetune": False}, "option of finetune"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        factorize(BUNDLED, BUNDLED_DATA, **{**OPTIONS, **options})
