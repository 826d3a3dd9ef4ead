"""Channels that stay, each with a reason that a user understands."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import found, model, normal, svd_factors
from narrowed_channels import channels, reasons

from onnx_factorize.passes import RewriteTargets
from onnx_factorize.passes.narrowing import FindChannels

W = {
    "w": normal(0, 6, 3, 1, 1),
    "v": normal(1, 4, 6, 1, 1),
    "six": normal(2, 6),
    "g": normal(3, 6, 1, 1),
    "one": np.array([1]),
    "zero": np.array(0),
    "two": np.array([2]),
    "half": np.array([1, 1, 0.5, 0.5], np.float32),
    "fewer": np.array([1, 0.5, 1, 1], np.float32),
    "scale": np.array(0.1, np.float32),
    "point": np.array(0, np.uint8),
    "none": np.zeros(0, np.float32),
    "odd": np.array([-1, 4, 3]),
    "pads": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
    "starts": np.array([0]),
    "ends": np.array([6]),
    "few": normal(4, 4, 4, 1, 1),
    "four": np.array([4]),
    "seven": np.array([7]),
    "twice": np.array([1, 2, 1, 1]),
    "gm": normal(5, 9, 2, 1, 1),
}

# Between a Conv 'a' that gives 6 channels of 8 x 8, and one that reads them.
BETWEEN = [
    ("r = Softmax <axis = 1> (h)", "Softmax normalizes over them"),
    ("r = LpNormalization <axis = 1> (h)", "LpNormalization normalizes over them"),
    ("m = ReduceMean (h, one) r = Sub (h, m)", "ReduceMean computes something of all its channels"),
    ("[l] r = LRN <size = 3> (h)", "LRN 'l' is not known to treat them one by one"),
    ("r = custom.Any (h)", "Any is not known to treat them one by one"),
    ("m = ArgMax <axis = 1> (h) f = Cast <to = 1> (m) r = Mul (h, f)", "ArgMax computes"),
    ("q = QuantizeLinear (h, scale, point) r = DequantizeLinear (q, scale, point)", "quantizes"),
    ("r = Pad (h, pads)", "Pad pads them"),
    ("r = Resize (h, none, fewer)", "Resize may resize them"),
    ("r = Slice (h, starts, ends, one, two)", "does not take one range of them"),
    ("i = Gather <axis = 1> (h, zero) u = Unsqueeze (i, one) r = Mul (h, u)", "picks some of them"),
    ("s = Shape (h) f = Cast <to = 1> (s) m = ReduceMax (f) r = Div (h, m)", "how many they are"),
    ("s = Size (h) f = Cast <to = 1> (s) r = Div (h, f)", "Size is not known"),
    ("q = Squeeze (h) r = Relu (h) z = Relu (q)", "Squeeze names no axes"),
    ("r, k = MaxPool <kernel_shape = [1, 1]> (h) z = Identity (k)", "MaxPool computes something"),
    ("r = Mul (h, x3)", "may have one channel or many"),
    ("r = GroupNormalization <num_groups = 1> (h, six, six)", "all of them go together"),
    (
        "r, m, p = BatchNormalization <training_mode = 1> (h, six, six, six, six) z = Identity (m)",
        "BatchNormalization is not in the form that it has in inference",
    ),
    ("r = Tile (h, twice)", "Tile repeats them"),
    ("r = Pad (h, k8)", "what Pad pads is not constant"),
    ("r = Slice (h, k1, four, one)", "the range of Slice is not constant"),
    ("q = Slice (h, seven, seven, one) z = Relu (q) r = Relu (h)", "Slice computes something"),
    ("m = ReduceMean (h, k1) r = Sub (h, m)", "the axes of ReduceMean are not constant"),
    ("r, q = Split <axis = 1> (h, k1)", "the lengths of what Split gives are not known"),
    ("r = Concat <axis = 1> (h, x3)", "the lengths of what Concat joins are not known"),
    ("r = Resize <axes = [2]> (h, none, none, four)", "the sizes of Resize are given by axis"),
    ("i = Cast <to = 7> (h) z = Gather (x, i) r = Relu (h)", "picks by them"),
    ("r = Conv <group = 2> (h, gm)", "has groups of different sizes"),
    ("i = Concat <axis = 1> (h, six4) r = Add (h, i)", "is not as long as its channels (Add)"),
]


@pytest.mark.parametrize(("between", "reason"), BETWEEN)
def test_operators_that_do_not_treat_channels_one_by_one(between, reason):
    text = (
        "(float[n, 3, 8, 8] x, float[n, c, 8, 8] x3, float[n, 2, 8, 8] six4, int64[k] k1, "
        "int64[8] k8) => (float[n, 4, 8, 8] y) "
        f"{{ [a] h = Conv (x, w) {between} [c] y = Conv (r, v) }}"
    )
    proto = model(text, W, opset=21, ir_version=10)  # GroupNormalization by channel
    assert reason in reasons(proto)["a"]


# Whole graphs, and the operator whose outputs stay.
GRAPHS = [
    ("[a] y = Conv (x, w)", "a", "they are an output, 'y'"),
    ("[a] h = Conv (x, w) y = Sigmoid (h)", "a", "they are an output, 'y'"),
    ("[a] h = Conv (x6, v6) r = Add (h, x6) [c] y = Conv (r, v)", "a", "they are an input, 'x6'"),
    ("[a] h = Conv (x, w1) [c] y = Conv (h, v1)", "a", "has a single output"),
    ("[a] h = Conv (x, w) [c] y = Conv (x, w)", "a", "shares its weight"),
    ("[a] h = Conv (x, w, xb) [c] y = Conv (h, v)", "a", "the bias of Conv 'a' is not constant"),
    ("[a] h = Conv (x, w) y = custom.Any (h)", "a", "Any is not known to treat them one by one"),
    ("[a] h = Conv (x, w) d = Relu (h) y = Relu (x)", "a", "no linear operator reads them"),
    (
        "[a] h = Conv (x, w) f = Reshape (h, odd) y = Relu (f)",
        "a",
        "Reshape gives them a shape that is not read",
    ),
    (
        "[a] h = Conv (x, w) f = Reshape (h, xs) y = Relu (f)",
        "a",
        "Reshape gives a shape that is not known",
    ),
    (
        (
            "[a] h = Conv (x, w) y = If (b) <then_branch = t () => (float u) { u = Relu (h) }, "
            "else_branch = e () => (float k) { k = Neg (h) }>"
        ),
        "a",
        "'h' is read in the body of another operator",
    ),
    ("[a] h = Conv (x, wq) [c] y = Conv (h, v)", "a", "its weight is of type uint8"),
]


@pytest.mark.parametrize(("nodes", "name", "reason"), GRAPHS)
def test_channels_that_leave_the_graph_or_are_not_computed_by_weights(nodes, name, reason):
    weights = W | {
        "v6": normal(5, 6, 6, 1, 1),
        "w1": normal(6, 1, 3, 1, 1),
        "v1": normal(7, 4, 1, 1, 1),
        "wq": np.zeros((6, 3, 1, 1), np.uint8),
    }
    text = (
        "(float[n, 3, 8, 8] x, float[n, 6, 8, 8] x6, float[6] xb, int64[k] xs, bool b) "
        f"=> (float y) {{ {nodes} }}"
    )
    assert reason in reasons(model(text, weights))[name]


# Products around channels, and the operator whose outputs stay.
PRODUCTS = [
    ("[a] h = Gather <axis = 1> (w, ids) [c] y = MatMul (h, v)", "picks columns of its weight"),
    ("[a] h = Gemm <transA = 1> (xt, w) [c] y = Gemm (h, v)", "reads a transposed input"),
    ("[a] h = MatMul (x, w) q = Transpose (h) [c] y = Gemm (q, u, row)", "they are rows to Gemm"),
    ("[a] h = MatMul (x, w) [c] y = MatMul (h, one)", "by a stack of matrices or a vector"),
    ("[a] h = MatMul (x, w) [c] y = MatMul (h, vs)", "by a stack of matrices or a vector"),
    ("[a] h = MatMul (x, w) e = Expand (h, k2) [c] y = MatMul (e, v)", "Expand is computed"),
    (
        (
            "[a] h = MatMul (x, w) y = Loop (t, b, h) <body = i (int64 n, bool c, float[n, 6] s) "
            "=> (bool d, float[m, 6] z) { d = Identity (c) z = Relu (s) }>"
        ),
        "Loop is not known to treat them one by one",
    ),
]


@pytest.mark.parametrize(("nodes", "reason"), PRODUCTS)
def test_products_whose_channels_are_not_read(nodes, reason):
    weights = {
        "w": normal(0, 4, 6),
        "v": normal(1, 6, 3),
        "u": normal(2, 7, 3),
        "row": normal(3, 1, 3),
        "one": normal(4, 6),
        "vs": normal(5, 2, 6, 3),
    }
    text = (
        "(float[n, 4] x, float[4, n] xt, int64[k] ids, int64[2] k2, int64 t, bool b) "
        f"=> (float y) {{ {nodes} }}"
    )
    assert reason in reasons(model(text, weights))["a"]


def test_products_in_bodies_that_are_not_observed():
    proto = model(
        "(float[n, 4] x, int64 t, bool b) => (float y) { y = Loop (t, b, x) "
        "<body = i (int64 n, bool c, float[n, 4] s) => (bool d, float[m, 4] z) "
        "{ d = Identity (c) [a] h = MatMul (s, w) [e] z = MatMul (h, v) }> }",
        {"w": normal(0, 4, 6), "v": normal(1, 6, 4)},
    )
    assert reasons(proto)["a"] == (
        "stands in the body of a Loop whose values may change their shapes"
    )


def test_a_weight_that_several_operators_read():
    proto = model(
        "(float[n, 4] x) => (float[n, 3] y) { [a] h = MatMul (x, w) [b] k = MatMul (h, w) "
        "[c] y = MatMul (k, v) }",
        {"w": normal(0, 4, 4), "v": normal(1, 4, 3)},
    )
    assert "shares its weight" in reasons(proto)["a"]
    assert "shares its weight" in reasons(proto)["b"]


def test_products_of_values_that_are_computed():
    """What a product of queries and keys sums over."""
    proto = model(
        "(float[n, 5, 4] x) => (float[n, 5, 5] y) { [q] a = MatMul (x, wq) [k] b = MatMul (x, wk) "
        "t = Transpose <perm = [0, 2, 1]> (b) y = MatMul (a, t) }",
        {"wq": normal(0, 4, 6), "wk": normal(1, 4, 6)},
    )
    assert "sums over them with weights that are computed (attention)" in reasons(proto)["q"]


def test_layer_normalization():
    proto = model(
        "(float[n, 4] x) => (float[n, 3] y) { [a] h = MatMul (x, w) "
        "[l] r = LayerNormalization (h, s) [c] y = MatMul (r, v) }",
        {"w": normal(0, 4, 6), "s": normal(1, 6), "v": normal(2, 6, 3)},
    )
    assert reasons(proto)["a"] == "LayerNormalization 'l' normalizes over them"


def test_recurrent_operators():
    proto = model(
        "(float[t, n, 4] x) => (float[t, n, 3] y) { [a] h = MatMul (x, w) "
        "[r] o = GRU <hidden_size = 5> (h, wi, wr) q = Squeeze (o, one) [c] y = MatMul (q, v) }",
        {
            "w": normal(0, 4, 6),
            "wi": normal(1, 1, 15, 6),
            "wr": normal(2, 1, 15, 5),
            "one": np.array([1]),
            "v": normal(3, 5, 3),
        },
    )
    assert reasons(proto)["r (recurrent)"] == "is a GRU, whose channels are not narrowed"


def test_what_a_caller_may_replace():
    proto = model(
        "(float[n, 4] x, float[6] b) => (float[n, 3] y) { [a] h = MatMul (x, w) "
        "r = Add (h, b) [c] y = MatMul (r, v) }",
        {"w": normal(0, 4, 6), "b": normal(1, 6), "v": normal(2, 6, 3)},
    )
    assert reasons(proto)["a"] == "a caller may replace 'b', a graph input"


def test_factors_of_an_earlier_run():
    proto = model(
        "(float[n, 8] x) => (float[n, 8] y) { [a] h = MatMul (x, w) [b] k = MatMul (h, u) "
        "[c] y = MatMul (k, v) }",
        {"w": normal(0, 8, 8), "u": normal(1, 8, 8), "v": normal(2, 8, 8)},
    )
    made, finder = found(proto)
    first = finder.targets[0]
    RewriteTargets({"a": svd_factors(first, 3)})(made)
    again = ir.from_proto(onnx.ModelProto.FromString(ir.to_proto(made).SerializeToString()))
    _, channel_finder = channels(again)
    assert [group.name for group in channel_finder.groups] == ["b"]
    assert {each.name: each.reason for each in channel_finder.refused} == {
        "a": "was factorized before: it is left as it is",
        "a.down": "was factorized before: it is left as it is",
        "c": "they are an output, 'y'",
    }


def test_channels_that_cannot_be_followed_in_the_users_own_graph():
    """A product with its constant on the left is plain only when it is normalised."""
    proto = model(
        "(float[n, 5, 4] x) => (float[n, 3, 4] y) "
        "{ [a] h = MatMul (w, x) r = Relu (h) [c] y = MatMul (v, r) }",
        {"w": normal(0, 6, 5), "v": normal(1, 3, 6)},
    )
    normal_form, finder = channels(proto)
    assert [group.name for group in finder.groups] == ["a"]
    finder = FindChannels(ir.from_proto(proto))
    finder(normal_form)
    assert [group.name for group in finder.groups] == ["a"]
    other = model("(float[n] x) => (float[n] y) { y = Relu (x) }")
    finder = FindChannels(ir.from_proto(other))
    finder(normal_form)
    assert finder.refused[0].reason == "cannot be followed in the model as it stands"
