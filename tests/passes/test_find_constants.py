"""Every node with a large constant is listed, and what a budget of targets counts of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from builders import found, model, normal

from onnx_factorize import BudgetError, factorize
from onnx_factorize.passes import FindConstants
from onnx_factorize.report.inspection import inspect


def _listed(proto: onnx.ModelProto) -> dict[str, tuple[str, int, bool]]:
    normal_model, finder = found(proto)
    others = FindConstants(finder)
    others(normal_model)
    return {each.name: (each.op_type, each.params, each.counted) for each in others.skipped}


def test_large_constants_of_any_node():
    proto = model(
        """(float[2, 64, 32] x, bool c) => (float[2, 64, 32] y) {
        [lin] a = MatMul (x, w) [position] b = Add (a, p) [bias] d = Add (b, v)
        [theirs] e = custom.Mix (d, m) [turn] mt = Transpose <perm = [1, 0]> (n)
        [moved] f = Mul (e, mt)
        [choice] y = If (c) <
            then_branch = t () => (float[2, 64, 32] z) { [inner] z = Sub (f, q) },
            else_branch = u () => (float[2, 64, 32] k) { k = Identity (f) }> }""",
        {
            "w": normal(1, 32, 32),
            "p": normal(2, 1, 64, 32),
            "v": normal(3, 32),
            "m": normal(4, 40, 30),
            "n": normal(5, 32, 64),
            "q": normal(6, 64, 32),
        },
    )
    assert _listed(proto) == {
        "position": ("Add", 2048, False),
        "theirs": ("Mix", 1200, True),
        "moved": ("Mul", 2048, False),
        "inner": ("Sub", 2048, False),
    }


def test_tables_of_angles_are_no_weights():
    proto = model(
        """(float[1, 4, 64] x, int64[1, 4] at) => (float[1, 4, 64] y) {
        [turn] a = com.microsoft.RotaryEmbedding (x, at, cos, sin)
        [other] y = com.microsoft.Unheard (a, w) }""",
        {"cos": normal(1, 512, 32), "sin": normal(2, 512, 32), "w": normal(3, 64, 64)},
    )
    assert _listed(proto) == {
        "turn": ("RotaryEmbedding", 2 * 512 * 32, False),
        "other": ("Unheard", 4096, True),
    }


def test_a_constant_is_listed_once():
    proto = model(
        "(float[64, 32] x) => (float[64, 32] y) { [one] a = Add (x, p) [two] y = Add (a, p) }",
        {"p": normal(2, 64, 32)},
    )
    assert list(_listed(proto)) == ["one"]


@pytest.fixture
def laid_out(tmp_path):
    """A net as onnxruntime's layout optimizer leaves it: 99 % of it in operators of its own."""
    text = """(float[N, 16, 16, 16] x) => (float[N, 10] y) {
        a = Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (x, k1) b = Relu (a)
        c = Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (b, k2)
        d = GlobalAveragePool (c) e = Flatten (d) [last] y = Gemm <transB = 1> (e, w) }"""
    weights = {"k1": normal(1, 32, 16, 3, 3), "k2": normal(2, 64, 32, 3, 3), "w": normal(3, 10, 64)}
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "laid_out.onnx")
    proto = model(text, weights, opset=17)
    ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    proto = onnx.load(tmp_path / "laid_out.onnx")
    if all(node.domain != "com.microsoft.nchwc" for node in proto.graph.node):
        pytest.skip("this machine's onnxruntime has no layout of its own")
    return proto


def test_a_budget_counts_what_an_optimizer_hides(laid_out):
    layers = {layer.name: layer for layer in inspect(laid_out).layers}
    hidden = [layer for layer in layers.values() if "optimizer" in str(layer.reason)]
    assert sum(layer.params[0] for layer in hidden) == 9 * (16 * 32 + 32 * 64)
    feeds = [{"x": normal(5, 32, 16, 16, 16)}]
    options = {"threads": 1, "weighting": "activation"}
    with pytest.raises(BudgetError, match=r"97.3% of the weights that it counts .* cannot be read"):
        factorize(laid_out, feeds, budget="targets=0.5", **options)
    result = factorize(laid_out, feeds, budget="targets=0.99", **options)
    assert "23,040 of the model's" in " ".join(result.report.warnings)
    assert {layer.status for layer in result.report.layers} == {"factorized", "skipped"}


def test_a_budget_counts_no_tables_and_no_scales():
    proto = model(
        "(float[N, 64] x) => (float[N, 32] y) { a = Add (x, p) y = MatMul (a, w) }",
        {"w": normal(1, 64, 32), "p": normal(2, 1, 64) + np.zeros((1, 64), np.float32)},
    )
    feeds = [{"x": normal(5, 32, 64)}]
    result = factorize(proto, feeds, budget="targets=0.5", threads=1, weighting="activation")
    assert [layer.status for layer in result.report.layers] == ["factorized"]
