"""Weights in 4 bits that are fitted to what they multiply."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import check, model, normal, run

from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.options import Memory, Selection
from onnx_factorize.quantization.operand_moments import OperandMoments
from onnx_factorize.quantization.quantizers import quantize
from onnx_factorize.quantization.rounding import ROTATED
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

PRODUCT = "(float[b, 70] x) => (float[b, 48] y) { [a] y = MatMul (x, w) }"


def _inputs(seed, rows, width):
    """Rows of which few directions hold most."""
    mixed = np.geomspace(1, 0.02, width)[:, None] * normal(9, width, width)
    return (normal(seed, rows, width) @ mixed / np.sqrt(width)).astype(np.float32)


def _rounded(dense, feeds, memory=None):
    """A model in 4 bits: to the nearest levels, and fitted to the feeds."""
    selection = Selection(batch_size=16, holdout=0.0)
    data = open_calibration([feeds], Signature.of(dense), selection, memory=memory)
    moments = OperandMoments(data, np.ones(data.calibration_samples, bool), OnnxRuntime(threads=1))
    ways = ROTATED, ROTATED.fitted(moments)
    return [quantize(dense, "weights", data, rounding=way) for way in ways]


def _lost(dense, small, feeds):
    return np.square(run(check(small), feeds)[0] - run(dense, feeds)[0]).sum()


@pytest.mark.parametrize(
    "text",
    [
        PRODUCT,
        "(float[b, 70] x) => (float[b, 48] y) { [a] y = Gemm <transB = 1> (x, v, b) }",
        """(float[b, 70] x) => (float[b, 48] y) {
            [s] t = Tanh (x) [a] h = MatMul (t, q) [z] g = MatMul (h, w) y = Relu (g)
        }""",
    ],
)
def test_the_output_loses_less(text):
    weights = {"w": normal(1, 70, 48), "v": normal(1, 48, 70), "b": normal(2, 48)}
    used = {n: w for n, w in weights.items() if f", {n}" in text} | (
        {"q": normal(3, 70, 70)} if "q)" in text else {}
    )
    dense = ir.from_proto(model(text, used, opset=21, ir_version=10))
    feeds = {"x": _inputs(4, 300, 70)}
    plain, fitted = (_lost(dense, each, feeds) for each in _rounded(dense, feeds))
    assert fitted < 0.5 * plain


def test_a_weight_that_two_products_read_is_fitted_to_both():
    text = """(float[b, 64] x) => (float[b, 64] y) {
        [s] t = Sigmoid (x) [a] h = MatMul (x, w) [z] g = MatMul (t, w) y = Add (g, h)
    }"""
    dense = ir.from_proto(model(text, {"w": normal(1, 64, 64)}, opset=21, ir_version=10))
    feeds = {"x": _inputs(4, 300, 64)}
    plain, fitted = _rounded(dense, feeds)
    assert _lost(dense, fitted, feeds) < _lost(dense, plain, feeds)


def test_moments_are_gathered_in_as_many_runs_as_memory_asks_for():
    text = """(float[b, 400] x) => (float[b, 400] y) {
        [a] h = MatMul (x, w) t = Tanh (h) [z] y = MatMul (t, v)
    }"""
    weights = {"w": normal(1, 400, 400), "v": normal(2, 400, 400)}
    dense = ir.from_proto(model(text, weights, opset=21, ir_version=10))
    feeds = {"x": _inputs(4, 60, 400)}
    wide, narrow = (_rounded(dense, feeds, Memory(size))[1] for size in (1e9, 1e6))
    assert (run(wide, feeds)[0] == run(narrow, feeds)[0]).all()


def test_what_a_branch_reads_is_rounded_to_the_nearest_level():
    text = """(float[b, 32] x, bool c) => (float[b, 32] y) {
        [i] y = If (c) <
            then_branch = t () => (float[b, 32] p) { [a] p = MatMul (x, w) },
            else_branch = e () => (float[b, 32] q) { [r] q = Relu (x) }
        >
    }"""
    dense = ir.from_proto(model(text, {"w": normal(1, 32, 32)}, opset=21, ir_version=10))
    feeds = {"x": normal(2, 16, 32), "c": np.array(True)}
    plain, fitted = _rounded(dense, feeds)
    assert (run(plain, feeds)[0] == run(fitted, feeds)[0]).all()


def test_half_precision_is_fitted_too():
    text = "(float16[b, 70] x) => (float16[b, 48] y) { [a] y = MatMul (x, w) }"
    w = normal(1, 70, 48).astype(np.float16)
    dense = ir.from_proto(model(text, {"w": w}, opset=21, ir_version=10))
    feeds = {"x": _inputs(4, 300, 70).astype(np.float16)}
    plain, fitted = (_lost(dense, each, feeds) for each in _rounded(dense, feeds))
    assert fitted < plain


def test_the_report_says_what_won():
    dense = ir.from_proto(model(PRODUCT, {"w": normal(1, 70, 48)}, opset=21, ir_version=10))
    x = _inputs(4, 400, 70)
    made = factorize(dense, [{"x": x}], budget="bytes=0.4", threads=1, quantize="int4")
    found = made.report.quantization["rounding"]
    assert list(found["tried"]) == ["rotated factors", "rotated factors, GPTQ"]  # without any pair
    assert found["used"].endswith("GPTQ")
    assert found["tried"][found["used"]] == min(found["tried"].values())
    assert found["said"].startswith("weights are rounded with")
    assert made.report.quantization["weights"] is None
