"""The survey: scales of gradients, and folds, also of samples that it did not look at."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model

from onnx_factorize.calibration import Selection, Signature, open_calibration
from onnx_factorize.passes import OutputKind
from onnx_factorize.session import Runtime, Session
from onnx_factorize.statistics import output_statistics
from onnx_factorize.statistics.output_statistics import survey

KINDS = {"y": OutputKind("gaussian")}


def _survey(x):
    graph = ir.from_proto(model("(float[b, 8] x) => (float[b, 8] y) { y = Neg (x) }"))
    data = open_calibration([{"x": x}], Signature.of(graph), Selection(holdout=0.0, samples=len(x)))
    return survey(Session(graph, Runtime()), KINDS, data, folds=4)


def test_a_gaussian_output_has_the_variance_of_the_data():
    x = 3 * np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    found = _survey(x)
    # Eight predictions a sample, of variance nine each.
    assert found.seeds["y"].scale == pytest.approx(1 / np.sqrt(8 * x.var()), rel=1e-3)


def test_neighbours_share_a_fold_where_not_all_are_looked_at(monkeypatch):
    rng = np.random.default_rng(0)
    scenes = np.repeat(rng.normal(size=(50, 8)), 10, axis=0)
    x = (scenes + 0.05 * rng.normal(size=scenes.shape)).astype(np.float32)
    monkeypatch.setattr(output_statistics, "SURVEYED", 50)
    folds = _survey(x).folds
    assert folds.shape == (500,)
    assert set(folds) == {0, 1, 2, 3}
    assert all(len(set(folds[start : start + 10])) == 1 for start in range(0, 500, 10))
