"""Every attribute of linear operators, where they compute channels and where they read them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from builders import model, normal
from narrowed_channels import channels, error, narrow, only

X = normal(9, 2, 4, 9, 9)
ROWS = normal(9, 5, 4)
KEPT = [0, 2, 3]
BIASES = ["", ", b"]

CONVOLUTIONS = [
    "",
    "<strides = [2, 2]>",
    "<dilations = [2, 2]>",
    "<pads = [1, 0, 2, 1]>",
    "<kernel_shape = [3, 3], group = 1>",
    '<auto_pad = "SAME_UPPER", strides = [2, 2]>',
    '<auto_pad = "SAME_LOWER">',
    '<auto_pad = "VALID">',
]


@pytest.mark.parametrize(("attributes", "bias"), list(itertools.product(CONVOLUTIONS, BIASES)))
def test_convolutions(attributes, bias):
    text = (
        "(float[n, 4, 9, 9] x) => (float[n, 3, a, b] y) "
        f"{{ [a] h = Conv {attributes} (x, w{bias}) r = Relu (h) "
        f"[c] y = Conv {attributes} (r, v) }}"
    )
    weights = {"w": normal(0, 6, 4, 3, 3), "v": normal(1, 3, 6, 3, 3), "b": normal(2, 6)}
    if not bias:
        del weights["b"]
    found, made = error(model(text, weights), {"a": KEPT}, {"x": X})
    assert found < 1e-5
    assert made.graph.initializers["w"].shape == (3, 4, 3, 3)
    assert made.graph.initializers["v"].shape == (3, 3, 3, 3)


TRANSPOSED = [
    "",
    "<strides = [2, 2]>",
    "<dilations = [2, 2]>",
    "<pads = [1, 0, 0, 1]>",
    "<strides = [2, 2], output_padding = [1, 1]>",
    "<strides = [2, 2], output_shape = [19, 19]>",
    "<kernel_shape = [3, 3], group = 1>",
]


@pytest.mark.parametrize(("attributes", "bias"), list(itertools.product(TRANSPOSED, BIASES)))
def test_transposed_convolutions(attributes, bias):
    """The second reads and computes: its own outputs go too."""
    text = (
        "(float[n, 4, 9, 9] x) => (float[n, 3, a, b] y) { [a] h = Conv (x, w) r = Relu (h) "
        f"[t] t = ConvTranspose {attributes} (r, u{bias}) s = Relu (t) [c] y = Conv (s, v) }}"
    )
    weights = {
        "w": normal(0, 6, 4, 1, 1),
        "u": normal(1, 6, 5, 3, 3),
        "v": normal(2, 3, 5, 1, 1),
        "b": normal(3, 5),
    }
    if not bias:
        del weights["b"]
    found, _ = error(model(text, weights), {"a": KEPT, "t": [1, 4]}, {"x": X})
    assert found < 1e-5


@pytest.mark.parametrize("kept", [[0], [1, 2]])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_groups_of_convolutions(kind, kept):
    shape = (9, 2, 3, 3) if kind == "Conv" else (6, 3, 3, 3)
    text = (
        "(float[n, 4, 9, 9] x) => (float[n, 3, a, b] y) { [a] h = Conv (x, w) "
        f"[g] t = {kind} <group = 3> (h, u, b) s = Relu (t) [c] y = Conv (s, v) }}"
    )
    weights = {
        "w": normal(0, 6, 4, 1, 1),
        "u": normal(1, *shape),
        "b": normal(2, 9),
        "v": normal(3, 3, 9, 1, 1),
    }
    found, made = error(model(text, weights), {"a": kept}, {"x": X})
    assert found < 1e-5
    groups = [
        node.attributes["group"].as_int() for node in made.graph if "group" in node.attributes
    ]
    assert len(kept) in groups


GEMMS = list(itertools.product([0, 1], [0.5, 1.0], [None, (6,), (1, 6), (1,)]))


@pytest.mark.parametrize(("turned", "scale", "bias"), GEMMS)
def test_gemms(turned, scale, bias):
    attributes = f"<transB = {turned}, alpha = {scale}, beta = {2 * scale}>"
    added = ", b" if bias else ""
    text = (
        f"(float[n, 4] x) => (float[n, 3] y) {{ [a] h = Gemm {attributes} (x, w{added}) "
        f"r = Tanh (h) [c] y = Gemm {attributes} (r, v) }}"
    )
    shapes = {"w": (4, 6), "v": (6, 3)}
    weights = {
        name: normal(i, *(shape[::-1] if turned else shape))
        for i, (name, shape) in enumerate(shapes.items())
    }
    if bias:
        weights["b"] = normal(2, *bias)
    found, _ = error(model(text, weights), {"a": KEPT}, {"x": ROWS})
    assert found < 1e-5


def test_a_gemm_that_reads_a_transposed_input_keeps_what_it_reads():
    proto = model(
        "(float[5, 4] x) => (float[6, 3] y) "
        "{ [a] h = MatMul (x, w) [c] y = Gemm <transA = 1> (h, v) }",
        {"w": normal(0, 4, 6), "v": normal(1, 5, 3)},
    )
    _, finder = channels(proto)
    assert not finder.groups
    assert {each.name: each.reason for each in finder.refused} == {
        "a": "Gemm 'c' reads a transposed input (Gemm with transA)",
        "c": "reads a transposed input (Gemm with transA)",
    }


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("bias", [(6,), (1, 6), (1,), ()])
def test_products_of_any_rank(rank, bias):
    axes = ", ".join("abcd"[: rank - 1])
    text = (
        f"(float[{axes}, 4] x) => (float[{axes}, 3] y) "
        "{ [a] h = MatMul (x, w) p = Add (b, h) r = Erf (p) [c] y = MatMul (r, v) }"
    )
    weights = {"w": normal(0, 4, 6), "v": normal(1, 6, 3), "b": normal(2, *bias)}
    feeds = {"x": normal(9, *range(2, rank + 1), 4)}
    found, made = error(model(text, weights), {"a": KEPT}, feeds)
    assert found < 1e-5
    assert made.graph.initializers["w"].shape == (4, 3)


@pytest.mark.parametrize("opset", [7, 13])
def test_weights_behind_what_moves_them(opset):
    """In the user's own graph the constant shrinks, and what moves it stays."""
    proto = model(
        "(float[n, 4] x) => (float[n, 3] y) { i = Identity (wt) w = Transpose (i) "
        "[a] h = MatMul (x, w) v = Cast <to = 1> (vd) [c] y = MatMul (h, v) }",
        {"wt": normal(0, 6, 4), "vd": normal(1, 6, 3).astype(np.float64)},
        opset=opset,
    )
    assert only(proto).width == 6
    made = narrow(proto, {"a": np.array(KEPT)})
    sizes = {name: tuple(value.shape) for name, value in made.graph.initializers.items()}
    assert sorted(sizes.values()) == [(3, 3), (3, 4)]
    assert made.graph.initializers["vd"].dtype.name == "DOUBLE"
