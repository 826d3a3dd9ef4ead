"""Reading budgets."""

from __future__ import annotations

import pytest

from onnx_factorize.errors import InputError
from onnx_factorize.options import Budget


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("params=0.5", "params", 0.5),
        ("params=.5", "params", 0.5),
        ("targets=75%", "targets", 0.75),
        ("params=100%", "params", 1.0),
        ("bytes=12MB", "bytes", 12e6),
        ("bytes=12 mb", "bytes", 12e6),
        ("bytes=2KiB", "bytes", 2048),
        ("bytes=1.5GiB", "bytes", 1.5 * 2**30),
        ("macs=300M", "macs", 3e8),
        ("macs=300MMACs", "macs", 3e8),
        ("params=1e6", "params", 1e6),
        ("params=2.5kparams", "params", 2500),
        (" params = 0.25 ", "params", 0.25),
    ],
)
def test_parse(text, kind, value):
    budget = Budget.parse(text)
    assert (budget.kind, budget.value) == (kind, pytest.approx(value))
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.5",
        "params",
        "params=",
        "params=half",
        "params=0",
        "params=0%",
        "params=-1",
        "params=-0.5",
        "params=nan",
        "params=inf",
        "params=0.5x",
        "params=1,5",
        "=0.5",
        "params=0.5=2",
        "params=150%",
    ],
)
def test_refused(text):
    with pytest.raises(InputError):
        Budget.parse(text)


def test_limit():
    assert Budget("params", 0.25).limit(400) == 100
    assert Budget("params", 1).limit(400) == 400
    assert Budget("bytes", 1000).limit(400) == 1000
