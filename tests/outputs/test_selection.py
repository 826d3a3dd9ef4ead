"""Outputs behind a selection, from end to end."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnx_factorize import InputError, compare, factorize
from onnx_factorize.outputs import output_kinds
from onnx_factorize.outputs.selection import selected
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from tests.builders import model, run
from tests.passes.test_expose_selection import DETECTOR

BODY = DETECTOR.replace(
    "boxes = MatMul (x, wb)", "h = MatMul (x, w1)\n r = Relu (h)\n boxes = MatMul (r, wb)"
).replace("raw = MatMul (x, wc)", "raw = MatMul (r, wc)")


def detector():
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((8, 32)) * np.exp(-0.5 * np.arange(8))[:, None],
        "wb": rng.standard_normal((32, 4)),
        "wc": rng.standard_normal((32, 3)) / 2,
    }
    return model(BODY, {n: w.astype(np.float32) for n, w in weights.items()}, opset=17)


def images(count=40):
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((1, 20, 8)).astype(np.float32)} for _ in range(count)]


def test_a_detector_is_judged_by_what_enters_its_selection():
    dense = detector()
    result = factorize(dense, images(), budget="targets=0.8", threads=1)
    report = result.report
    assert list(report.divergence["outputs"]) == ["boxes", "scores"]
    assert report.divergence["outputs"]["scores"]["kind"] == "bernoulli"
    assert report.selection["behind"] == dict.fromkeys(
        ["kept", "sure", "classes"], "NonMaxSuppression 'chosen'"
    )
    assert report.selection["said"].endswith("judged by what enters it (boxes, scores)")
    assert any(layer.status in ("factorized", "narrowed") for layer in report.layers)
    written = [value.name for value in result.model.graph.outputs]
    assert written == ["kept", "sure", "classes"]
    assert len(run(ir.to_proto(result.model), images(1)[0])) == 3
    found = compare(dense, result.model, images(), threads=1)
    assert set(found.agreement.outputs) == {"boxes", "scores"}
    assert found.selected.entering == ("boxes", "scores")


def test_the_result_of_a_selection_counts_where_the_user_says_so():
    dense = ir.from_proto(detector())
    assert selected(dense, output_kinds(dense, {})).entering == ("boxes", "scores")
    kinds = output_kinds(dense, {"sure": "gaussian"})
    assert kinds["sure"].kind == "gaussian"
    assert kinds["kept"].kind == "ignore"
    assert kinds["kept"].because == "what NonMaxSuppression 'chosen' chooses"


BESIDE = BODY.replace("int64[n] classes)", "int64[n] classes, float[1, 20, 5] beside)").replace(
    "raw = MatMul (r, wc)", "raw = MatMul (r, wc)\n beside = MatMul (r, wd)"
)


def test_what_stands_for_ignored_outputs_is_ignored():
    weights = {"wd": np.random.default_rng(3).standard_normal((32, 5)).astype(np.float32)}
    weights |= {t.name: onnx.numpy_helper.to_array(t) for t in detector().graph.initializer}
    dense = ir.from_proto(model(BESIDE, weights, opset=17))
    assert set(counted(dense, {})) == {"boxes", "scores", "beside"}
    every = dict.fromkeys(["kept", "sure", "classes"], "ignore")
    assert counted(dense, every) == ["beside"]
    assert selected(dense, output_kinds(dense, every)) is None
    # What is left still has something that stands for it; what is named stays.
    assert set(counted(dense, {"kept": "ignore"})) == {"boxes", "scores", "beside"}
    assert set(counted(dense, every | {"scores": "bernoulli"})) == {"scores", "beside"}
    kinds = output_kinds(dense, {"boxes": "ignore"})
    assert selected(dense, kinds).entering == ("scores",)
    report = factorize(dense, images(), budget="targets=0.8", threads=1, outputs=every).report
    assert list(report.divergence["outputs"]) == ["beside"]
    assert report.selection is None
    with pytest.raises(InputError, match="are ignored"):
        output_kinds(ir.from_proto(detector()), every)


def counted(dense, outputs):
    return [n for n, kind in output_kinds(dense, outputs).items() if kind.kind != "ignore"]


def test_a_map_of_classes_and_its_quantized_model():
    text = """(float[N, 5, 8] x) => (int64[N, 5] y) {
        h = MatMul (x, w1)
        r = Relu (h)
        scores = MatMul (r, w2)
        y = ArgMax <axis = 2, keepdims = 0> (scores)
    }"""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((8, 32)) * np.exp(-0.5 * np.arange(8))[:, None],
        "w2": rng.standard_normal((32, 4)) / 4,
    }
    dense = model(text, {n: w.astype(np.float32) for n, w in weights.items()}, opset=17)
    data = [{"x": rng.standard_normal((64, 5, 8)).astype(np.float32)}]
    report = factorize(dense, data, budget="targets=0.8", threads=1, quantize="int8").report
    assert report.divergence["outputs"]["scores"]["kind"] == "categorical"
    assert report.divergence["outputs"]["scores"]["agreement"] > 0.8


def test_a_second_stage_stays_dense():
    text = BODY.replace("float[n, 4] kept", "float[n, 6] kept").replace(
        "kept = Gather (flat, place)", "near = Gather (flat, place)\n kept = MatMul (near, w3)"
    )
    rng = np.random.default_rng(0)
    proto = detector()
    weights = {
        t.name: np.frombuffer(t.raw_data, np.float32).reshape(t.dims)
        for t in proto.graph.initializer
    }
    weights["w3"] = rng.standard_normal((4, 6)).astype(np.float32)
    report = factorize(model(text, weights, opset=17), images(), budget="targets=0.9").report
    second = next(layer for layer in report.layers if layer.name == "MatMul_kept")
    assert second.status == "skipped"
    assert second.reason.startswith("acts only behind NonMaxSuppression 'chosen'")


def test_what_is_ignored_is_not_looked_at():
    text = """(float[N, 8] x) => (float[N, 8] y, float[N, 8] bad, float[M] many) {
        h = MatMul (x, w)
        y = MatMul (h, v)
        less = Neg (y)
        both = Mul (y, less)
        bad = Log (both)
        zero = Sub (y, y)
        over = Greater (y, zero)
        many = Compress (y, over)
    }"""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 8)).astype(np.float32)
    text = text.replace(
        "many = Compress (y, over)",
        """row = Constant <value = int64[1] {-1}> ()
        flat = Reshape (y, row)
        flags = Reshape (over, row)
        many = Compress (flat, flags)""",
    )
    dense = model(text, {"w": w, "v": w}, opset=17)
    data = [{"x": rng.standard_normal((64, 8)).astype(np.float32)}]
    outputs = {"bad": "ignore", "many": "ignore"}
    options = {"budget": "targets=0.9", "threads": 1, "rank_multiple": 1, "best_effort": True}
    report = factorize(dense, data, outputs=outputs, **options).report
    assert list(report.divergence["outputs"]) == ["y"]


def test_values_within_the_graph_can_be_asked_for():
    session = OnnxRuntime(threads=1).session(ir.from_proto(detector()), ["scores", "sure"])
    assert set(session.run(images(1)[0])) == {"scores", "sure"}
    assert session.as_written is not session
    with pytest.raises(Exception, match="computes no value 'nothing' to compare"):
        OnnxRuntime(threads=1).session(ir.from_proto(detector()), ["nothing"])
