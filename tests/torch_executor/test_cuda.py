"""The pipeline with a GPU: what it recovers there, it recovers on the processor."""

from __future__ import annotations

import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize import factorize

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


OPTIONS = {"samples": 256, "budget": "targets=0.05", "weighting": "activation", "epochs": 4}


def tuned(device, **options):
    options = {**OPTIONS, "finetune": True, "device": device, "threads": 1, **options}
    return factorize(BUNDLED, BUNDLED_DATA, **options).report


@pytest.mark.parametrize("hidden", [0.0, 0.5])
def test_it_ends_where_the_processor_does(hidden):
    expected, found = (tuned(device, hidden=hidden) for device in ("cpu", "cuda"))
    for key in ("before", "after"):
        assert found.finetune[key] == pytest.approx(expected.finetune[key], rel=0.01)
    assert found.divergence["holdout"] == pytest.approx(expected.divergence["holdout"], rel=0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("svt", ["none", "hard", "soft"])
def test_it_recovers_much(svt, precision):
    """Ranks and rounding may differ: a smoke test of what runs on the GPU."""
    expected, found = (tuned(d, svt=svt, precision=precision) for d in ("cpu", "cuda"))
    assert found.finetune["before"] == pytest.approx(expected.finetune["before"], rel=1e-3)
    assert found.finetune["after"] < found.finetune["before"]
    assert found.divergence["holdout"] == pytest.approx(expected.divergence["holdout"], rel=0.5)
