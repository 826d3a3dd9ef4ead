"""The survey: distributions, folds, also of samples that it did not look at, and shapes."""

from __future__ import annotations

import sys

import numpy as np
import onnx_ir as ir
import pytest
from builders import model

from onnx_factorize.calibration import Batch, Signature, open_calibration
from onnx_factorize.options import Selection
from onnx_factorize.outputs import survey
from onnx_factorize.outputs.shapes import OutputShapes
from onnx_factorize.passes import OutputKind
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

KINDS = {"y": OutputKind("gaussian")}


def _survey(x):
    graph = ir.from_proto(model("(float[b, 8] x) => (float[b, 8] y) { y = Neg (x) }"))
    data = open_calibration([{"x": x}], Signature.of(graph), Selection(holdout=0.0, samples=len(x)))
    return survey(OnnxRuntime().session(graph), KINDS, data, folds=4)


def test_a_gaussian_output_has_the_variance_of_the_data():
    x = 3 * np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    output = _survey(x).outputs["y"]
    assert output.variances == pytest.approx(x.var(axis=0).mean(), rel=1e-3)
    assert output.parts[0].predictions == 8


def test_neighbours_share_a_fold_where_not_all_are_looked_at(monkeypatch):
    rng = np.random.default_rng(0)
    scenes = np.repeat(rng.normal(size=(50, 8)), 10, axis=0)
    x = (scenes + 0.05 * rng.normal(size=scenes.shape)).astype(np.float32)
    monkeypatch.setattr(sys.modules["onnx_factorize.outputs.survey"], "SURVEYED", 50)
    folds = _survey(x).folds
    assert folds.shape == (500,)
    assert set(folds) == {0, 1, 2, 3}
    assert all(len(set(folds[start : start + 10])) == 1 for start in range(0, 500, 10))


@pytest.mark.parametrize("samples", [1, 2, 7])
def test_shapes_are_expected_for_any_number_of_samples(samples):
    shapes = OutputShapes(["y"])

    def batch(samples, length):
        return Batch({"x": np.zeros((samples, length))}, samples, None, "")

    assert shapes.expect(batch(samples, 5)) is None
    shapes.learn(batch(4, 5), {"y": np.zeros((8, 3, 5))})
    assert shapes.expect(batch(samples, 5)) == {"y": (2 * samples, 3, 5)}
    assert shapes.expect(batch(samples, 6)) is None
