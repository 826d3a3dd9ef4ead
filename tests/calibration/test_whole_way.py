"""Data of unusual kinds, from the command's input to its report."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from builders import model, normal, run

from onnx_factorize import InputError, compare, factorize

FAST = {"threads": 1, "prefer": "size", "budget": "targets=0.5"}
W = {"w1": normal(1, 32, 48) / 6, "w2": normal(2, 48, 8) / 7}


def _with_nan(rows):
    x = normal(3, rows, 16)
    x[np.random.default_rng(4).random(x.shape) < 0.1] = np.nan
    return x


def _table(handled):
    """A table whose missing values are NaN, which the model may know of."""
    known = "f = Where (m, zero, x)" if handled else "f = Identity (x)"
    text = f"""(float[n, 16] x) => (float[n, 8] y) {{
        m = IsNaN (x)
        zero = Constant <value_float = 0.0> ()
        {known}
        c = Cast <to = 1> (m)
        a = Concat <axis = 1> (f, c)
        h = MatMul (a, w1)
        r = Relu (h)
        y = MatMul (r, w2)
    }}"""
    return model(text, W)


def test_nan_that_the_model_handles_is_data():
    report = factorize(_table(handled=True), {"x": _with_nan(80)}, **FAST).report
    assert 0 < report.divergence["holdout"] < 0.5


@pytest.mark.parametrize("weighting", ["fisher", "none"])
def test_nan_that_the_model_does_not_handle_is_named(weighting):
    x = normal(3, 80, 16)
    x[::7, 2] = np.nan
    with pytest.raises(InputError, match=r"not finite on calibration, feed 0.* input 'x' holds"):
        factorize(_table(handled=False), {"x": x}, weighting=weighting, **FAST)


def test_an_empty_cache_is_data():
    text = """(int64[b, s] ids, float[b, past, 32] cache) => (float[b, s, 8] y, float[b, t, 32] n) {
        e = Gather (table, ids)
        n = Concat <axis = 1> (cache, e)
        k = MatMul (n, w0)
        t = Transpose <perm = [0, 2, 1]> (k)
        q = MatMul (e, t)
        p = Softmax <axis = -1> (q)
        v = MatMul (p, n)
        h = MatMul (v, w1)
        r = Relu (h)
        y = MatMul (r, w2)
    }"""
    proto = model(text, W | {"table": normal(5, 50, 32), "w0": normal(6, 32, 32) / 6})
    rng = np.random.default_rng(7)
    feeds = [
        {"ids": rng.integers(0, 50, (2, 4)), "cache": normal(8 + i, 2, 3 * (i % 2), 32)}
        for i in range(20)
    ]
    report = factorize(proto, feeds, **FAST).report
    assert report.samples == {"calibration": 32, "holdout": 8}
    assert np.isfinite(report.divergence["holdout"])


def test_texts_are_data():
    text = """(float[n, 16] x, string[n, 1] z) => (float[n, 8] y) {
        e = Equal (z, red)
        c = Cast <to = 1> (e)
        t = Tile (c, times)
        a = Concat <axis = 1> (x, t)
        h = MatMul (a, w1)
        r = Relu (h)
        y = MatMul (r, w2)
    }"""
    proto = model(text, W | {"times": np.array([1, 16])})
    proto.graph.initializer.append(onnx.helper.make_tensor("red", 8, [1], [b"red"]))
    data = {"x": normal(3, 80, 16), "z": ["red", "blue"] * 40}
    assert factorize(proto, data, **FAST).report.samples == {"calibration": 64, "holdout": 16}


def test_inputs_that_may_be_left_out():
    """One of an optional type, and one with a default value."""
    text = """(float[n, 32] x, optional(float[n, 32]) o, float[32] scale) => (float[n, 8] y) {
        has = OptionalHasElement (o)
        p = If (has) <
            then_branch = given () => (float[n, 32] g) { g = OptionalGetElement (o) },
            else_branch = absent () => (float[n, 32] q) { q = Neg (x) }
        >
        a = Mul (p, scale)
        h = MatMul (a, w1)
        r = Relu (h)
        y = MatMul (r, w2)
    }"""
    proto = model(text, W | {"scale": np.ones(32, np.float32)}, opset=18)
    feeds = [
        {"x": normal(i, 4, 32)}
        | ({"o": normal(50 + i, 4, 32)} if i % 2 else {})
        | ({"scale": [2.0] * 32} if i % 3 else {})
        for i in range(20)
    ]
    report = factorize(proto, feeds, **FAST).report
    assert report.samples == {"calibration": 64, "holdout": 16}
    assert np.isfinite(report.divergence["holdout"])


CLASSIFIER = """(float[n, 32] x) => (float[n, 8] y) {
    h = MatMul (x, w1)
    r = Relu (h)
    l = MatMul (r, w2)
    y = Softmax (l)
}"""


@pytest.mark.parametrize("form", ["numbers", "column", "one-hot", "floats", "texts of numbers"])
def test_labels_in_any_form_give_the_same_accuracy(form):
    x = normal(3, 60, 32)
    answers = run(model(CLASSIFIER, W), {"x": x})[0].argmax(-1)
    labels = np.where(np.arange(60) % 4, answers, (answers + 1) % 8)
    given = {
        "numbers": labels,
        "column": labels[:, None],
        "one-hot": np.eye(8)[labels],
        "floats": labels.astype(np.float32),
        "texts of numbers": labels.astype(str),
    }[form]
    proto = model(CLASSIFIER, W)
    assert compare(proto, proto, {"x": x, "label": given}).agreement.accuracy == (0.75, 0.75)


def test_what_is_no_class_is_no_label():
    x = normal(3, 60, 32)
    proto = model(CLASSIFIER, W)
    labels = np.where(np.arange(60) % 3, -100, run(proto, {"x": x})[0].argmax(-1))
    found = compare(proto, proto, {"x": x, "label": labels})
    assert found.agreement.accuracy == (1, 1)
    assert found.data["labels"]["said"] is None


def test_labels_that_are_texts_get_a_line():
    proto = model(CLASSIFIER, W)
    found = compare(proto, proto, {"x": normal(3, 60, 32), "label": ["cat", "dog"] * 30})
    assert found.agreement.accuracy is None
    assert "texts such as 'cat'" in found.data["labels"]["said"]
