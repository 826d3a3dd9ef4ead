"""Fine-tuning on a GPU: as good as on the processor, the same again each time."""

from __future__ import annotations

import pytest
from builders import BUNDLED, BUNDLED_DATA

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

from onnx_factorize import factorize  # noqa: E402

OPTIONS = {"samples": 256, "budget": "targets=0.05", "weighting": "activation", "epochs": 4}


def tuned(device, **options):
    options = {**OPTIONS, "finetune": True, "device": device, "threads": 1, **options}
    return factorize(BUNDLED, BUNDLED_DATA, **options).report


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("svt", ["none", "hard", "soft"])
def test_it_recovers_as_much(svt, precision):
    expected = tuned("cpu", svt=svt, precision=precision)
    found = tuned("cuda", svt=svt, precision=precision)
    assert found.finetune["before"] == pytest.approx(expected.finetune["before"], rel=1e-3)
    assert found.finetune["after"] < found.finetune["before"]
    # Training and choosing ranks amplify rounding.
    rel = 0.05 if (svt, precision) == ("none", "float32") else 0.5
    assert found.divergence["holdout"] == pytest.approx(expected.divergence["holdout"], rel=rel)


def test_it_repeats():
    assert tuned("cuda").finetune == tuned("cuda").finetune


def test_hidden_values_and_labels_teach():
    assert tuned("cuda", hidden=0.5).finetune["epochs"]


def test_an_interrupted_run_goes_on(tmp_path):
    path = str(tmp_path / "run.safetensors")
    first = tuned("cuda", checkpoint=path)
    assert tuned("cuda", checkpoint=path).finetune == first.finetune
