"""Options that name what there is not, or that do not go together."""

from __future__ import annotations

import pytest

from onnx_factorize.check_options import check_options
from onnx_factorize.errors import InputError
from onnx_factorize.options import Options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": "size=0.5"}, r"no budget 'size'.*latency, macs, params, targets"),
        ({"budget": "params=1.5"}, "give a unit"),
        ({"budget": "bytes=12"}, "give a unit"),
        ({"finetune": True, "svt": "soft", "budget": "latency=0.5"}, "cannot meet a goal of time"),
        ({"finetune": True, "svt": "soft", "prefer": "latency"}, "cannot meet a goal of time"),
        ({"runtime": "abacus"}, "no runtime 'abacus'.*onnxruntime"),
    ],
)
def test_refused(given, said):
    with pytest.raises(InputError, match=said):
        check_options(Options.of(**given))


def test_a_latency_may_be_any_number():
    check_options(Options.of(budget="latency=5ms"))


def test_processes_that_would_each_time_for_themselves(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="torchrun"):
        check_options(Options.of(finetune=True, budget="macs=0.5"))
    check_options(Options.of(finetune=True, budget="params=0.5"))
