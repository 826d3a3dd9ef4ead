"""`--metric`: a figure of the user's own beside the divergence."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA
from commands import main_of

from onnx_factorize.calibration import Batch
from onnx_factorize.goals.quantities.own_metric import OwnMetric

MODULE = """
import numpy as np

def right(predictions, labels):
    return (predictions.argmax(-1) == labels).astype(float)

def whole(predictions, labels):
    return float((predictions.argmax(-1) == labels).mean())

def broken(predictions, labels):
    raise RuntimeError("no such thing")

def strange(predictions, labels):
    return np.zeros(3)

number = 3
"""
FAST = ["--calib", str(BUNDLED_DATA), "--samples", "128", "--threads", "1", "--weighting", "none"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_metrics.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["right", "whole"])
def test_it_is_reported_of_both_models(name, monkeypatch, capsys):
    more = ["--metric", f"own_metrics:{name}", "--budget", "params=0.25", "--report", "r.json"]
    code, out, said = main_of([str(BUNDLED), *FAST, *more, "-o", "s.onnx"], monkeypatch, capsys)
    assert code == 0, said
    report = json.loads(pathlib.Path("r.json").read_text())
    found, accuracy = report["metric"], report["accuracy"]
    assert found["name"] == f"own_metrics:{name}"
    assert [found["dense"], found["compressed"]] == pytest.approx(list(accuracy.values()))
    assert found["dense"] != found["compressed"]
    # Of some twenty-five samples that are right or wrong in both, or in one.
    assert 0 < found["error"] < 0.2
    assert f"own_metrics:{name}: {found['dense']:.4g} → {found['compressed']:.4g}" in out


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("own_metrics:broken", "no such thing"),
        ("own_metrics:strange", "must return a number or one for each of"),
        ("own_metrics:gone", "has no 'gone'"),
        ("own_metrics:number", "is not callable"),
        ("nowhere:f", "there is no module 'nowhere'"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_a_sentence(metric, words, monkeypatch, capsys):
    code, _, said = main_of(
        [str(BUNDLED), *FAST, "--metric", metric, "-o", "s.onnx"], monkeypatch, capsys
    )
    assert code == 1
    assert said.startswith(f"onnx-factorize: --metric {metric}")
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not pathlib.Path("s.onnx").exists()


def test_the_error_is_that_of_the_difference(tmp_path):
    (tmp_path / "more_metrics.py").write_text("def first(p, labels):\n    return p[:, 0]\n")
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(400, 2))
    metric = OwnMetric({"y": None}, "more_metrics:first", "--metric")
    noise = rng.normal(size=(400, 2)) / 10
    metric.add(Batch({}, 400, None, "here"), {"y": dense}, {"y": dense + noise})
    found = metric.figures()
    assert found["error"] == pytest.approx(0.1 / 20, rel=0.15)  # not 1 / 20, of each alone
