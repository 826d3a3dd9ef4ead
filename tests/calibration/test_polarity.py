"""What a mask means, found by running models that mask in all the ways that are in use."""

from __future__ import annotations

import numpy as np
import pytest
from builders import model, normal

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

LENGTH, WIDTH, ROWS = 8, 12, 20
BIG = np.float32(-1e9)

WEIGHTS = {
    "table": normal(1, 50, WIDTH),
    "wq": normal(2, WIDTH, WIDTH) / 4,
    "wv": normal(3, WIDTH, 6) / 3,
    "big": BIG,
    "one": np.float32(1),
    "ax": np.array([1]),
    "causal": np.where(np.tri(LENGTH, dtype=bool), 0, BIG).astype(np.float32),
}

# A bias of the scores, from the mask `m`.
BIAS = {
    "keep": "f = Cast <to = 1> (m) i = Sub (one, f) a = Mul (i, big) bias = Unsqueeze (a, ax)",
    "drop": "f = Cast <to = 1> (m) a = Mul (f, big) bias = Unsqueeze (a, ax)",
    "added": "bias = Unsqueeze (m, ax)",
    "added of 3 axes": "bias = Identity (m)",
}
SCORES = (
    "e = Gather (table, ids) q = MatMul (e, wq) t = Transpose <perm = [0, 2, 1]> (e) "
    "s = MatMul (q, t)"
)
MIXED = "p = Softmax <axis = -1> (sb) v = MatMul (p, e) r = Add (v, e) y = MatMul (r, wv)"
BODIES = {
    "tokens": f"{SCORES} sb = Add (s, bias) {MIXED}",
    "causal": f"{SCORES} sc = Add (s, causal) sb = Add (sc, bias) {MIXED}",
    # What the first position makes of all.
    "first": f"{SCORES} sb = Add (s, bias) p = Softmax <axis = -1> (sb) v = MatMul (p, e) "
    "r = Add (v, e) z = Constant <value_int = 0> () c = Gather <axis = 1> (r, z) "
    "y = MatMul (c, wv)",
}


def _real(*, left=False):
    lengths = np.random.default_rng(4).integers(3, LENGTH - 1, ROWS)
    real = np.arange(LENGTH) < lengths[:, None]
    return real[:, ::-1] if left else real


def _found(name, values, bias, body="tokens", kind="int64", axes="b, s", **options):
    graph = f"{BIAS.get(bias, bias)} {BODIES.get(body, body)}"
    proto = model(
        f"(int64[b, s] ids, {kind}[{axes}] m) => (float[p, q, r] y) {{ {graph} }}", WEIGHTS
    )
    proto.graph.input[1].name = name
    for node in proto.graph.node:
        node.input[:] = [name if value == "m" else value for value in node.input]
    ids = np.random.default_rng(5).integers(1, 50, (ROWS, LENGTH))
    loaded = model_io.load(proto)
    run = OnnxRuntime(threads=1).session(loaded).run
    selection = Selection(holdout=0.0, batch_size=ROWS)
    data = {"ids": ids, name: values}
    return open_calibration(data, Signature.of(loaded), selection, run=run, **options)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("name", "bias", "kind"),
    [
        ("attention_mask", "keep", "int64"),
        ("padding_mask", "drop", "int64"),
        ("padding_mask", "keep", "bool"),
        ("src_key_padding_mask", "drop", "bool"),
        ("pad_mask", "drop", "float"),
        ("mask", "added", "float"),
    ],
)
def test_masks_of_any_name_and_sense(name, bias, kind, body, left):
    real = _real(left=left)
    mask = real if bias == "keep" else ~real
    if bias == "added":
        mask = np.where(real, 0, BIG)
    dtype = {"int64": np.int64, "bool": bool, "float": np.float32}[kind]
    data = _found(name, mask.astype(dtype), bias, body, kind)
    assert (data.padding.input, data.padding.how) == (name, "found")
    assert data.padding.means == ("keep" if bias == "keep" else "drop")
    assert f"'{name}'" in data.padding.said
    (batch,) = data.batches("calibration")
    np.testing.assert_array_equal(batch.mask, real)


def test_minus_infinity_and_further_axes():
    real = _real()
    mask = np.where(real, 0, -np.inf).astype(np.float32)
    assert _found("attn_mask", mask, "added", kind="float").padding.means == "drop"
    data = _found("attn_mask", mask[:, None], "added of 3 axes", kind="float", axes="b, 1, s")
    (batch,) = data.batches("calibration")
    np.testing.assert_array_equal(batch.mask, real)
    wide = np.repeat(mask[:, None], LENGTH, axis=1)
    data = _found("attn_mask", wide, "added of 3 axes", kind="float", axes="b, s, s")
    (batch,) = data.batches("calibration")
    np.testing.assert_array_equal(batch.mask, real)


MEAN = "e = Gather (table, ids) h = MatMul (e, wq) r = Tanh (h)"


def test_a_mask_of_what_is_pooled():
    body = f"""two = Constant <value_ints = [2]> () one_ = Constant <value_ints = [1]> ()
        f = Cast <to = 1> (m) w = Unsqueeze (f, two) {MEAN} k = Mul (r, w)
        u = ReduceSum (k, one_) n = ReduceSum (w, one_) v = Div (u, n) y = MatMul (v, wv)"""
    assert _found("mask", _real().astype(np.int64), "", body).padding.means == "keep"


def test_a_mask_that_hides_a_position_from_its_own_output_alone():
    body = f"""two = Constant <value_ints = [2]> () f = Cast <to = 1> (m) w = Unsqueeze (f, two)
        {MEAN} k = Mul (r, w) y = MatMul (k, wv)"""
    assert _found("valid_mask", _real().astype(np.int64), "", body).padding.means == "keep"


def test_lengths_of_the_data():
    body = f"""two = Constant <value_ints = [2]> () one_ = Constant <value_ints = [1]> ()
        places = Constant <value_ints = [0, 1, 2, 3, 4, 5, 6, 7]> ()
        l = Unsqueeze (m, one_) in = Less (places, l) f = Cast <to = 1> (in)
        w = Unsqueeze (f, two) {MEAN} k = Mul (r, w) u = ReduceSum (k, one_) y = MatMul (u, wv)"""
    data = _found("lengths", _real().sum(1), "", body, axes="b")
    assert (data.padding.means, data.padding.length_of) == ("lengths", "ids")
    (batch,) = data.batches("calibration")
    np.testing.assert_array_equal(batch.mask, _real())


@pytest.mark.parametrize(
    ("name", "means", "how"),
    [
        ("padding_mask", None, None),
        ("mask", None, None),
        ("attention_mask", "keep", "name"),
        ("action_mask", None, None),
    ],
)
def test_no_guess_where_outputs_do_not_tell(name, means, how):
    """Nothing is masked in the graph: it is only the analysis that could know."""
    body = f"f = Cast <to = 1> (m) {MEAN} y = MatMul (r, wv)"
    padding = _found(name, _real().astype(np.int64), "", body).padding
    assert (padding.means, padding.how) == (means, how)
    assert (padding.said is None) == (name == "action_mask")
    # Where nothing is padded, there is nothing to say.
    everything = np.ones((ROWS, LENGTH), np.int64)
    assert _found(name, everything, "", body).padding.said is None


def test_what_the_user_says_is_not_asked_of_the_model():
    mask = (~_real()).astype(np.int64)
    assert _found("padding_mask", mask, "drop", mask={"padding_mask": "none"}).padding.input is None
    given = _found("padding_mask", mask, "drop", mask={"padding_mask": "keep"}).padding
    assert (given.means, given.how, given.said) == ("keep", "given", None)
