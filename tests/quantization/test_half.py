"""Half precision: what is stored, what stays exact, and what of models that are in it already."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, check, model, normal, run
from commands import main_of

import onnx_factorize
from onnx_factorize.errors import InputError
from onnx_factorize.quantization.half import in_half
from onnx_factorize.quantization.rounding import MIXED

TEXT = """(float[b, 16] x) => (float[b, 24] z) {
    h = MatMul (x, w)
    n = LayerNormalization <axis = -1> (h, s, t)
    [last] z = MatMul (n, v)
}"""
SCALE = np.where(np.arange(32) % 2, 1.0, 1e-30).astype(np.float32)
WEIGHTS = {"w": normal(1, 16, 32), "s": SCALE, "t": 0 * SCALE, "v": normal(2, 32, 24)}


def _types(proto):
    return {t.name: onnx.TensorProto.DataType.Name(t.data_type) for t in proto.graph.initializer}


def test_weights_are_halves_and_the_interface_is_not():
    proto = model(TEXT, WEIGHTS)
    small, x = in_half(model(TEXT, WEIGHTS)), normal(3, 50, 16)
    check(ir.from_proto(small))
    assert set(_types(small).values()) == {"FLOAT16"}
    ends = (*small.graph.input, *small.graph.output)
    assert {v.type.tensor_type.elem_type for v in ends} == {onnx.TensorProto.FLOAT}
    assert [v.name for v in ends] == ["x", "z"]
    assert "last" in [node.name for node in small.graph.node]
    wanted, found = run(proto, {"x": x})[0], run(small, {"x": x})[0]
    error = np.abs(found - wanted).max() / np.abs(wanted).std()
    assert 1e-5 < error < 2e-2  # rounded, and not by more than some units of float16


def test_what_rounds_to_zero_becomes_zero():
    scale = next(t for t in in_half(model(TEXT, WEIGHTS)).graph.initializer if t.name == "s")
    array = onnx.numpy_helper.to_array(scale)
    assert array[::2].tolist() == [0.0] * 16  # the converter alone makes them 6e-8
    assert array[1::2].tolist() == [1.0] * 16


def test_operators_that_are_kept_stay_exact():
    small = in_half(model(TEXT, WEIGHTS), MIXED.kept)
    check(ir.from_proto(small))
    types = _types(small)
    assert types["s"] == types["t"] == "FLOAT"
    assert types["w"] == types["v"] == "FLOAT16"
    (scale,) = (t for t in small.graph.initializer if t.name == "s")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(scale), SCALE)


def test_the_graphs_within_are_converted_too():
    text = """(float[b, 8] x, bool c) => (float[b, 8] z) {
        z = If (c) <
            then_branch = g1 () => (float[b, 8] p) { p = MatMul (x, w) },
            else_branch = g2 () => (float[b, 8] q) { q = MatMul (x, v) }
        >
    }"""
    weights = {"w": normal(1, 8, 8), "v": normal(2, 8, 8)}
    x = normal(3, 5, 8)
    small = in_half(model(text, weights))
    for c in (True, False):
        feeds = {"x": x, "c": np.array(c)}
        wanted, found = (run(each, feeds)[0] for each in (model(text, weights), small))
        np.testing.assert_allclose(found, wanted, atol=2e-2)
        assert np.abs(found - wanted).max() > 0


def test_the_command_measures_and_verifies_it(tmp_path, monkeypatch, capsys):
    small, report = tmp_path / "small.onnx", tmp_path / "report.json"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "-o", small, "--report", report]
    arguments += ["--budget", "bytes=0.3", "--quantize", "fp16", "--samples", "64"]
    arguments += ["--effort", "low", "--threads", "1"]
    code, out, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    assert "weights are rounded with float16" in out
    found = json.loads(report.read_text())
    assert found["quantization"]["bits"] == "fp16"
    assert found["quantization"]["way"] == "half"
    before, after = found["quantization"]["divergence"], found["divergence"]["holdout"]
    assert abs(after - before) < 0.02 * before + 1e-5
    # Of the dense model in float32, as all budgets; in float16 alone it would take a half.
    assert small.stat().st_size <= 0.3 * BUNDLED.stat().st_size


def test_a_model_in_half_precision_is_compressed_as_it_is(tmp_path):
    """Its factors are halves too, and nothing is left for `--quantize`."""
    proto = model(TEXT, WEIGHTS)
    dense, x = in_half(model(TEXT, WEIGHTS)), normal(3, 64, 16)
    options = {"budget": "targets=0.6", "weighting": "activation", "samples": 64}
    found = onnx_factorize.factorize(dense, [{"x": x}], **options)
    types = _types(ir.to_proto(found.model))
    assert set(types.values()) == {"FLOAT16"}
    alike = onnx_factorize.factorize(proto, [{"x": x}], **options)
    ranks = [[layer.rank for layer in each.report.layers] for each in (found, alike)]
    assert ranks[0] == ranks[1]
    assert any(ranks[0])
    wanted, got = (run(each.model, {"x": x})[0] for each in (alike, found))
    np.testing.assert_allclose(got, wanted, atol=5e-2)
    with pytest.raises(InputError, match="no weights in float32"):
        onnx_factorize.factorize(dense, [{"x": x}], quantize="fp16", **options)


def _with_blocks(w, quantize):
    """The form of the first product in a model that was cut into identity blocks."""
    weights = {**WEIGHTS, "w": w.astype(np.float32), "s": np.ones(32, np.float32)}
    options = {"budget": "targets=0.8", "weighting": "none", "narrow": "off", "rank_multiple": 1}
    options |= {"factors": "identity", "best_effort": True, "op_types": "MatMul"}
    feeds = [{"x": normal(3, 128, 16)}]
    found = onnx_factorize.factorize(model(TEXT, weights), feeds, quantize=quantize, **options)
    return next(str(x.form) for x in found.report.layers if x.name != "last")


def test_identity_blocks_are_written_where_they_bear_it():
    down, up = np.linalg.qr(normal(9, 16, 6))[0], normal(10, 6, 32)
    noise = 1e-3 * normal(11, 16, 32)
    bears = down @ np.concatenate([np.eye(6), up[:, 6:] / 3], axis=1) + noise
    up[:] = up[:, :1] + up / 50  # no six columns of it are independent but for a fiftieth
    assert "identity block" in _with_blocks(bears, None)
    assert "identity block" in _with_blocks(bears, "fp16")
    assert "identity block" in _with_blocks(down @ up + noise / 10, None)
    assert _with_blocks(down @ up + noise / 10, "fp16") == "two MatMuls"
