"""Which channels can go together, and why others stay."""

from __future__ import annotations

import numpy as np
import pytest
from builders import model, normal
from narrowed_channels import channels, only

CHAIN = (
    "(float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y) {{ [a] h = Conv (x, w, b) {} "
    "[c] y = Conv (r, v) }}"
)
WEIGHTS = {
    "w": normal(0, 6, 3, 1, 1),
    "b": normal(1, 6),
    "v": normal(2, 4, 6, 1, 1),
    "d": normal(3, 6, 1, 3, 3),
    "s": normal(4, 6, 1, 1),
    "g": normal(5, 6, 2, 1, 1),
}


def chain(between):
    return model(CHAIN.format(between), WEIGHTS)


@pytest.mark.parametrize(
    ("between", "places"),
    [
        ("r = Relu (h)", 3),
        ("r = PRelu (h, s)", 4),
        ("q = Mul (s, h) r = Sigmoid (q)", 4),
        ("r = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (h)", 3),
        ("r = Conv <group = 6, pads = [1, 1, 1, 1]> (h, d)", 4),
        ("r = BatchNormalization (h, b, b, b, b)", 7),
        ("t = Transpose <perm = [2, 0, 3, 1]> (h) r = Transpose <perm = [1, 3, 0, 2]> (t)", 3),
        ("m = GlobalAveragePool (h) r = Mul (h, m)", 3),
    ],
)
def test_channels_are_followed_through_what_treats_them_one_by_one(between, places):
    group = only(chain(between))
    assert (group.name, group.width, group.unit) == ("a", 6, 1)
    assert [layer.name for layer in group.producers] == ["a"]
    assert [reader.layer.name for reader in group.readers] == ["c"]
    assert len(group.places) == places
    assert all(place.value.const_value.shape[place.axis] == 6 for place in group.places)


def test_a_group_of_a_grouped_convolution_goes_as_one():
    group = only(chain("r = Conv <group = 3> (h, g)"))
    assert (group.width, group.unit) == (3, 2)
    assert group.readers[0].rows.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_positions_behind_flatten_go_together():
    proto = model(
        "(float[n, 3, 2, 2] x) => (float[n, 5] y) "
        "{ [a] h = Conv (x, w, b) f = Flatten (h) [c] y = Gemm (f, v) }",
        WEIGHTS | {"v": normal(2, 24, 5)},
    )
    group = only(proto)
    assert group.readers[0].rows.tolist() == np.arange(24).reshape(6, 4).tolist()


def test_a_residual_stream_is_one_choice():
    proto = model(
        "(float[n, 3] x) => (float[n, 2] y) { [a] h = MatMul (x, a) [b] f = MatMul (h, b) "
        "[c] g = MatMul (f, c) r = Add (h, g) [d] y = MatMul (r, d) }",
        {"a": normal(0, 3, 6), "b": normal(1, 6, 5), "c": normal(2, 5, 6), "d": normal(3, 6, 2)},
    )
    _, finder = channels(proto)
    first, second = finder.groups
    assert [each.name for each in first.producers] == ["a", "c"]
    assert [each.layer.name for each in first.readers] == ["b", "d"]
    assert (second.name, second.width) == ("b", 5)


def test_parts_of_a_concatenation_are_apart():
    proto = model(
        "(float[n, 3] x) => (float[n, 2] y) { [a] h = MatMul (x, a) [b] f = MatMul (x, b) "
        "c = Concat <axis = -1> (h, f) [d] y = MatMul (c, d) }",
        {"a": normal(0, 3, 4), "b": normal(1, 3, 5), "d": normal(3, 9, 2)},
    )
    _, finder = channels(proto)
    rows = [group.readers[0].rows.reshape(-1).tolist() for group in finder.groups]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]


def test_every_linear_operator_makes_a_group_or_is_refused():
    proto = chain("r = Relu (h)")
    _, finder = channels(proto)
    made = {layer.name for group in finder.groups for layer in group.producers}
    refused = {name for each in finder.refused for name in each.operators}
    assert (made, refused) == ({"a"}, {"c"})


def test_heads_go_as_one():
    """Queries, keys and values of a head, and what the output's weight reads of it."""
    proto = model(
        "(float[n, 5, 4] x) => (float[n, 5, 4] y) { [q] a = MatMul (x, wq) [k] b = MatMul (x, wk) "
        "[v] c = MatMul (x, wv) a4 = Reshape (a, s) b4 = Reshape (b, s) c4 = Reshape (c, s) "
        "at = Transpose <perm = [0, 2, 1, 3]> (a4) bt = Transpose <perm = [0, 2, 3, 1]> (b4) "
        "ct = Transpose <perm = [0, 2, 1, 3]> (c4) e = MatMul (at, bt) p = Softmax (e) "
        "o = MatMul (p, ct) ot = Transpose <perm = [0, 2, 1, 3]> (o) f = Reshape (ot, t) "
        "[o] y = MatMul (f, wo) }",
        {name: normal(i, 4, 6) for i, name in enumerate(("wq", "wk", "wv"))}
        | {"wo": normal(3, 6, 4), "s": np.array([0, 5, 3, 2]), "t": np.array([0, 5, 6])},
    )
    group = only(proto)
    assert (group.name, group.width, group.unit) == ("q", 3, 2)
    assert [layer.name for layer in group.producers] == ["q", "k", "v"]
    assert group.readers[0].rows.tolist() == [[0, 1], [2, 3], [4, 5]]
