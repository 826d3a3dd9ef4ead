"""A cut that makes a value not finite is infinitely bad, and the rest of the run goes on."""

import math

import numpy as np
import onnx_ir as ir
import pytest

from onnx_factorize import factorize
from onnx_factorize.allocation.guard import Guard
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.options import Selection
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from tests.builders import model, run

RUNTIME = OnnxRuntime(threads=1)

# A bank of filters of energies before a logarithm, as speech models begin.
TEXT = """(float[N, 48] x) => (float[N, 12] y) {
    energy = Mul (x, x)
    bank = MatMul (energy, filters)
    loud = Log (bank)
    hidden = MatMul (loud, w1)
    bent = Tanh (hidden)
    y = MatMul (bent, w2)
}"""


def speech():
    rng = np.random.default_rng(0)
    places = np.arange(48)[:, None] - np.linspace(1, 46, 32)[None]
    weights = {
        "filters": np.maximum(0, 1 - np.abs(places) / 2),
        "w1": rng.standard_normal((32, 64)) * np.exp(-0.2 * np.arange(32))[:, None] / 8,
        "w2": rng.standard_normal((64, 12)) / 8,
    }
    return model(TEXT, {n: w.astype(np.float32) for n, w in weights.items()}, opset=17)


def sounds(samples=96):
    # Few loud places in each, so that rough filters let less than nothing through.
    rng = np.random.default_rng(1)
    x = 1e-3 * np.ones((samples, 48)) + rng.exponential(1, (samples, 48)) ** 4
    return [{"x": x.astype(np.float32)}]


@pytest.mark.parametrize("options", [{}, {"weighting": "activation"}, {"ranks": "uniform"}])
def test_what_breaks_the_model_stays_dense_with_its_reason(options):
    shared = {"budget": "targets=0.75", "threads": 1, "narrow": "off"}
    result = factorize(speech(), sounds(), **shared, **options)
    layers = {layer.op_type + layer.name: layer for layer in result.report.layers}
    bank = layers["MatMulMatMul_bank"]
    assert bank.status == "kept"
    if options:  # else its loss, which is predicted, is enough
        assert bank.reason.startswith("a cut of it makes output 'y' not finite on ")
    assert sum(layer.status == "factorized" for layer in layers.values()) >= 1
    assert math.isfinite(result.report.divergence["holdout"])
    assert np.isfinite(run(ir.to_proto(result.model), sounds()[0])[0]).all()


def test_a_guarantee_is_kept_without_what_breaks_the_model():
    result = factorize(speech(), sounds(), max_divergence=0.5, threads=1)
    assert result.report.promise["kept"]
    assert math.isfinite(result.report.divergence["holdout"])


def test_only_the_dense_models_own_numbers_end_a_run():
    feeds = sounds()
    feeds[0]["x"][5] = 0
    with pytest.raises(InputError, match="not finite"):
        factorize(speech(), feeds, budget="targets=0.75", threads=1)


def guard_of(proto, feeds):
    dense = ir.from_proto(proto)
    data = open_calibration(feeds, Signature.of(dense), Selection(), None)
    return dense, Guard(dense, ["y"], data, RUNTIME)


def test_the_operator_to_blame_is_found_among_many():
    proto = model("(float[N] x) => (float[N] y) { y = Sqrt (x) }")
    _, guard = guard_of(proto, [{"x": np.ones(8, np.float32)}])
    broken = ir.from_proto(model("(float[N] x) => (float[N] y) { z = Neg (x) y = Sqrt (z) }"))
    tried = []

    def make(names):
        tried.append(list(names))
        return broken if "d" in names else ir.from_proto(proto)

    names = list("abcdefgh")
    found, why = guard.culprit(names, make)
    assert found == "d"
    assert why.startswith("output 'y' not finite on ")
    assert len(tried) == 4
    assert guard.culprit(list("abc"), make) is None


def test_numbers_that_were_not_finite_before_are_no_complaint():
    proto = model("(float[N] x) => (float[N] y) { y = Log (x) }")
    dense, guard = guard_of(proto, [{"x": np.array([0, 1, 2, 3], np.float32)}])
    assert guard.complaint(dense) is None


def test_held_out_samples_are_looked_at_when_they_are_asked_for():
    proto = model("(float[N] x) => (float[N] y) { y = Identity (x) }")
    feeds = [{"x": np.ones(40, np.float32)}]
    dense, guard = guard_of(proto, feeds)
    assert guard.include_holdout()
    assert not guard.include_holdout()
    assert guard.complaint(dense) is None
