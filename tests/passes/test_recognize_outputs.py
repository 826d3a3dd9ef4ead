"""What outputs stand for."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.passes import OutputKind, RecognizeOutputs

W = {"w": normal(1, 8, 5), "k": normal(2, 4, 8, 1, 1), "b": normal(3, 5)}
LOGIT = OutputKind("categorical", -1, "logit")


def _kinds(body, outputs="float[n, 5] y", inputs="float[n, 8] x", **options):
    recognize = RecognizeOutputs()
    recognize(ir.from_proto(model(f"({inputs}) => ({outputs}) {{ {body} }}", W, **options)))
    return recognize.kinds


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("h = MatMul (x, w) y = Softmax <axis = 1> (h)", OutputKind("categorical", 1)),
        ("h = MatMul (x, w) y = Softmax (h)", OutputKind("categorical", -1)),
        (
            "h = MatMul (x, w) y = LogSoftmax (h)",
            OutputKind("categorical", -1, "log-probability"),
        ),
        ("h = MatMul (x, w) s = Softmax (h) y = Identity (s)", OutputKind("categorical", -1)),
        ("h = MatMul (x, w) s = Softmax (h) y = Transpose (s)", OutputKind("categorical")),
        ("h = MatMul (x, w) y = Sigmoid (h)", OutputKind("bernoulli")),
        ("h = MatMul (x, w) y = HardSigmoid (h)", OutputKind("bernoulli")),
        ("y = MatMul (x, w)", LOGIT),
        ("h = MatMul (x, w) y = Add (h, b)", LOGIT),
        ("y = Gemm (x, w)", LOGIT),
        ("h = MatMul (x, w) y = Relu (h)", OutputKind("gaussian")),
        ("h = MatMul (x, w) y = Tanh (h)", OutputKind("gaussian")),
        (
            (
                "h = MatMul (x, w) t = Exp (h) a = Constant <value = int64[1] {1}> () "
                "s = ReduceSum (t, a) y = Div (t, s)"
            ),
            OutputKind("categorical"),
        ),
    ],
)
def test_kinds(body, kind):
    assert _kinds(body) == {"y": kind}


def test_old_softmax_has_another_default_axis():
    body = "h = MatMul (x, w) y = Softmax (h)"
    assert _kinds(body, opset=12)["y"] == OutputKind("categorical", 1)


def test_names_decide_where_shapes_do_not():
    assert _kinds("h = MatMul (x, w) embedding = Relu (h)", "float[n, 5] embedding") == {
        "embedding": OutputKind("gaussian")
    }
    assert _kinds("pooled = MatMul (x, w)", "float[n, 5] pooled")["pooled"].kind == "gaussian"
    kinds = _kinds("h = MatMul (x, w) my_logits = Relu (h)", "float[n, 5] my_logits")
    assert kinds["my_logits"] == LOGIT
    kinds = _kinds("logits = Conv (x, k)", "float[n, 4, h, w1] logits", "float[n, 8, h, w1] x")
    assert kinds["logits"] == OutputKind("categorical", 1, "logit")


def test_one_column_is_a_number():
    assert (
        _kinds(
            "s = MatMul (x, w) a = Constant <value = int64[1] {1}> () y = ReduceMean (s, a)",
            "float[n, 1] y",
        )["y"].kind
        == "gaussian"
    )


def test_integers_and_strings_are_ignored():
    kinds = _kinds(
        "h = MatMul (x, w) y = Softmax (h) c = ArgMax (h) t = Equal (h, h)",
        "float[n, 5] y, int64[n, 1] c, bool[n, 5] t",
    )
    assert {name: kind.kind for name, kind in kinds.items()} == {
        "y": "categorical",
        "c": "ignore",
        "t": "ignore",
    }


def test_outputs_that_are_no_tensors_are_ignored():
    kinds = _kinds("h = MatMul (x, w) y = SequenceConstruct (h, h)", "seq(float[n, 5]) y")
    assert kinds["y"].kind == "ignore"


def test_behind_an_if():
    kinds = _kinds(
        """c = Constant <value = bool {1}> ()
        y = If (c) <
            then_branch = t () => (float[n, 5] a) { h = MatMul (x, w) a = Softmax (h) },
            else_branch = e () => (float[n, 5] b2) { g = MatMul (x, w) b2 = Softmax (g) }
        >"""
    )
    assert kinds["y"] == OutputKind("categorical", -1)


def test_an_input_passed_through():
    kinds = _kinds(
        "h = MatMul (x, w) y = Softmax (h) z = Identity (x)", "float[n,5] y, float[n,8] z"
    )
    assert kinds["z"].kind == "gaussian"
    assert kinds["y"].kind == "categorical"
