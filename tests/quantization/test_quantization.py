"""Quantization after factorization: what is stored, what it loses, what is said of it."""

from __future__ import annotations

import json
import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, check, model, normal, run
from click.testing import CliRunner

from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.check_options import check_options
from onnx_factorize.cli.main import cli
from onnx_factorize.errors import InputError
from onnx_factorize.options import Options, Selection
from onnx_factorize.quantization.quantizers import SAMPLES, mode_of, quantize
from onnx_factorize.quantization.rounding import FULL, REDUCED, RoundingChoice
from onnx_factorize.quantization.stage import WeightBits
from onnx_factorize.report.inspection import inspect

TEXT = "(float[b, 64] x) => (float[b, 96] y) { [a] y = MatMul (x, w) }"


def _model(text=TEXT, **weights):
    weights = weights or {"w": normal(1, 64, 96)}
    return ir.from_proto(model(text, weights, opset=21, ir_version=10))


def _data(source, feeds):
    return open_calibration(feeds, Signature.of(source), Selection(batch_size=16), None)


def test_dynamic_stores_bytes_and_is_within_their_steps():
    dense, x = _model(), normal(2, 40, 64)
    # With 7 bits sums of products fit in 16 bits, in which some processors take them.
    small = quantize(dense, "dynamic", _data(dense, [{"x": x}]), rounding=REDUCED)
    proto = check(small)
    assert {t.data_type for t in proto.graph.initializer if len(t.dims) == 2} == {
        onnx.TensorProto.INT8
    }
    wanted, found = run(dense, {"x": x})[0], run(small, {"x": x})[0]
    w = dense.graph.initializers["w"].const_value.numpy()
    # Half a step of each weight and of each activation, at worst all of one sign.
    steps = np.abs(w).max(0) / 64 / 2, (x.max() - x.min()) / 255
    bound = np.abs(x).sum(1)[:, None] * steps[0] + np.abs(w).sum(0) * steps[1]
    assert (np.abs(found - wanted) <= 1.1 * bound).all()
    assert np.abs(found - wanted).max() > 0


def test_four_bits_are_within_a_step_of_each_block():
    dense = _model()
    small = quantize(dense, "weights", _data(dense, [{"x": normal(2, 4, 64)}]))
    found = run(small, {"x": np.eye(64, dtype=np.float32)})[0]
    w = dense.graph.initializers["w"].const_value.numpy()
    step = np.abs(w.reshape(2, 32, 96)).max(1).repeat(32, axis=0) / 8
    assert (np.abs(found - w) <= 1.02 * step).all()
    assert np.abs(found - w).mean() > 0.05 * step.mean()  # else they are not four bits


def test_static_ranges_come_from_the_calibration_data():
    text = "(float[b, 3, 8, 8] x) => (float[b, 5, 6, 6] y) { [c] y = Conv (x, w) }"
    dense = _model(text, w=normal(3, 5, 3, 3, 3))
    x = normal(4, 40, 3, 8, 8)
    small = quantize(dense, "static", _data(dense, [{"x": x}]))
    wanted, found = run(dense, {"x": x})[0], run(small, {"x": x})[0]
    assert 0 < np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    # What is beyond the ranges that were seen is cut off.
    far = run(small, {"x": 100 * x})[0]
    assert np.abs(far).max() < 2 * np.abs(found).max()


def test_many_samples_are_thinned():
    text = "(float[b, 3, 8, 8] x) => (float[b, 5, 6, 6] y) { [c] y = Conv (x, w) }"
    dense, done = _model(text, w=normal(3, 5, 3, 3, 3)), []
    quantize(dense, "static", _data(dense, [{"x": normal(4, 400, 3, 8, 8)}]), done.append)
    assert sum(done) == SAMPLES


def test_convolutions_are_static_and_products_dynamic():
    both = _model(
        "(float[1, 3, 8, 8] x) => (float[1, 5, 6, 4] y) "
        "{ [c] h = Conv (x, w) [m] y = MatMul (h, v) }",
        w=normal(3, 5, 3, 3, 3),
        v=normal(5, 6, 4),
    )
    assert mode_of("int8", both, {"c": 10, "m": 9}) == "static"
    assert mode_of("int8", both, {"c": 9, "m": 10}) == "dynamic"
    assert mode_of("int4", both, {"c": 10, "m": 9}) == "weights"


@pytest.mark.parametrize("opset", [11, 20])
def test_each_channel_has_a_scale_whatever_the_opset(opset):
    text = "(float[b, 3, 8, 8] x) => (float[b, 5, 6, 6] y) { [c] y = Conv (x, w, b) }"
    w = normal(3, 5, 3, 3, 3)
    w[0] *= 100  # one scale for all would drown the others
    weights = {"w": w, "b": normal(5, 5)}
    dense = ir.from_proto(model(text, weights, opset=opset, ir_version=7))
    x = normal(4, 40, 3, 8, 8)
    small = check(quantize(dense, "static", _data(dense, [{"x": x}])))
    scales = {node.input[1] for node in small.graph.node if node.op_type == "DequantizeLinear"}
    assert {math.prod(t.dims) for t in small.graph.initializer if t.name in scales} >= {5}
    # The filters themselves, without the range of the output that all channels share.
    weight = next(t for t in small.graph.initializer if len(t.dims) == 4)
    assert np.abs(onnx.numpy_helper.to_array(weight)).max(axis=(1, 2, 3)).tolist() == [127] * 5


def test_what_has_no_weights_stays_in_float():
    text = """(float[b, 3, 8, 8] x) => (float[b, 5, 6, 6] y) {
        [c] h = Conv (x, w) s = Sigmoid (h) [gate] y = Mul (h, s)
    }"""
    dense = _model(text, w=normal(3, 5, 3, 3, 3))
    small = ir.to_proto(quantize(dense, "static", _data(dense, [{"x": normal(4, 8, 3, 8, 8)}])))
    (gate,) = (node for node in small.graph.node if node.op_type == "Mul")
    assert gate.output == ["y"]  # nothing rounds it
    domains = {each.domain: each.version for each in small.opset_import}
    assert domains == {"": 21, "custom": 1}  # none of those that a quantizer adds


def test_tables_have_four_bits_too():
    text = "(int64[b] x) => (float[b, 64] y) { [g] y = Gather <axis = 0> (w, x) }"
    dense = ir.from_proto(model(text, {"w": normal(1, 128, 64)}, opset=20, ir_version=10))
    x = np.arange(128)
    small = quantize(dense, "weights", _data(dense, [{"x": x}]))
    found, w = run(small, {"x": x})[0], dense.graph.initializers["w"].const_value.numpy()
    step = np.abs(w.reshape(128, 2, 32)).max(2).repeat(32, axis=1) / 8
    assert (np.abs(found - w) <= 1.02 * step).all()
    assert small.opset_imports[""] == 20


def test_a_model_with_nothing_to_quantize_is_refused():
    dense = _model("(float[b, 4] x) => (float[b, 4] y) { y = Relu (x) }", unused=normal(1, 2))
    for way in ("dynamic", "static", "weights"):
        with pytest.raises(InputError, match="nothing to treat"):
            quantize(dense, way, _data(dense, [{"x": normal(2, 8, 4)}]))


def test_what_the_quantizer_refuses_is_one_sentence(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", refuse)
    with pytest.raises(InputError, match=r"cannot quantize the model: first line\.$"):
        quantize(_model(), "dynamic", _data(_model(), [{"x": normal(2, 4, 64)}]))


def test_other_bits_are_refused():
    with pytest.raises(InputError, match="int8, int4 or fp16"):
        check_options(Options.of(quantize="int3"))


@pytest.mark.parametrize(("bits", "way"), [("int8", "static"), ("int4", "weights")])
def test_the_command_reports_what_it_wrote(bits, way, tmp_path):
    path, report = tmp_path / "s.onnx", tmp_path / "r.json"
    small = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "128", "--threads", "1"]
    more = ["-o", str(path), "--quantize", bits, "--report", str(report)]
    done = CliRunner().invoke(cli, [*small, *more])
    assert done.exit_code == 0, done.output
    data = json.loads(report.read_text())
    assert data["model"]["compressed"]["bytes"] == pytest.approx(path.stat().st_size, rel=1e-3)
    assert data["quantization"]["way"] == way
    assert data["quantization"]["bytes"] > 1.5 * path.stat().st_size
    dense = data["model"]["dense"]
    assert data["model"]["compressed"]["params"] <= 0.5 * dense["params"]
    assert 0 < data["model"]["compressed"]["macs"] < dense["macs"]
    assert data["divergence"]["holdout"] < 0.1
    assert f"--quantize {bits}" in inspect(path).history["options"]


FAST = {"samples": 64, "threads": 1, "weighting": "none", "quantize": "int8"}


@pytest.mark.parametrize("budget", [0.2, 0.14])
def test_bytes_are_counted_after_quantization(budget, tmp_path):
    result = factorize(BUNDLED, BUNDLED_DATA, budget=f"bytes={budget}", **FAST)
    result.save(tmp_path / "small.onnx")
    size, dense = (path.stat().st_size for path in (tmp_path / "small.onnx", BUNDLED))
    assert 0.9 * budget * dense < size <= budget * dense
    assert any(layer.status == "factorized" for layer in result.report.layers)


def test_what_fewer_bits_reach_alone_is_not_factorized():
    result = factorize(BUNDLED, BUNDLED_DATA, budget="bytes=0.3", **FAST)
    assert {layer.status for layer in result.report.layers} == {"kept"}
    assert result.report.model["compressed"].bytes < 0.3 * BUNDLED.stat().st_size


@pytest.mark.parametrize(
    ("full", "reduced", "used"),
    [(0.1, 0.095, 8), (1.0, 0.2, 7), (0, 0, 8), (math.inf, 0.2, 7), (0.1, math.nan, 8)],
)
def test_bits_that_lose_less_are_used(full, reduced, used):
    losses = {FULL: full, REDUCED: reduced}
    choice = RoundingChoice(lambda rounding: rounding, losses.get, FULL)
    choice.offer(REDUCED)
    bits = WeightBits.of(choice)
    assert bits is not None
    assert bits.used == used
    assert bits.as_dict()["said"].startswith("weights use")
    assert choice.model is choice.used is (FULL if used == 8 else REDUCED)
    assert choice.as_dict()["tried"].keys() == {"8 bits", "7 bits"}


def test_quantized_weights_are_no_worse_than_all_of_their_bits():
    x = normal(2, 160, 64)
    options = {"budget": "targets=0.95", "threads": 1, "quantize": "int8"}
    report = factorize(_model(), [{"x": x}], **options).report
    weights = report.quantization["weights"]
    least = min(weights["full"], weights["reduced"])
    assert least <= (weights["full"] if weights["used"] == 8 else weights["reduced"]) < 1.2 * least
