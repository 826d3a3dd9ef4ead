"""Normalizations of sums."""

from __future__ import annotations

import pytest
from adjoint_harness import normal
from bodies_harness import check_body


@pytest.mark.parametrize(
    ("beta", "bias", "total", "kind", "skip", "opset"),
    [
        ("", "", False, "2,3,4", "2,3,4", 11),
        ("beta", "", True, "B,T,C", "1,T,C", 21),
        ("", "bias", True, "B,T,4", "T,4", 11),
        ("beta", "bias", True, "2,3,4", "2,3,4", 21),
        ("beta", "bias", False, "B,T,C", "T,4", 17),
    ],
)
def test_skip_layer_normalization(
    beta: str, bias: str, total: bool, kind: str, skip: str, opset: int
) -> None:
    shape = {"2,3,4": (2, 3, 4), "1,T,C": (1, 3, 4), "T,4": (3, 4)}[skip]
    text = f"""(float[{kind}] x, float[{skip}] s, float[4] gamma, float[4] beta, float[4] bias)
        => (float[{kind}] y{f", float[{kind}] t" if total else ""}) {{
        y, m, v{", t" if total else ""} = com.microsoft.SkipLayerNormalization <epsilon = 0.01>
            (x, s, gamma, {beta}, {bias}) }}"""
    text = text.replace("y, m, v,", "y, , ,").replace("y, m, v ", "y ")
    text = text if beta else text.replace("float[4] beta, ", "")
    text = text if bias else text.replace(", float[4] bias", "")
    feeds = {"x": normal(2, 3, 4), "s": normal(*shape, seed=1), "gamma": normal(4, seed=2),
             "beta": normal(4, seed=3), "bias": normal(4, seed=4)}  # fmt: skip
    feeds = {name: array for name, array in feeds.items() if f"] {name}" in text}
    wanted = [name for name in feeds if name != "gamma"]
    check_body(text, feeds, wanted, opset=opset, through=["y", "t"] if total else ["y"])


@pytest.mark.parametrize(
    ("bias", "total", "kind", "opset"),
    [
        ("", False, "2,3,4", 11),
        ("", True, "B,T,C", 21),
        ("bias", True, "B,T,C", 11),
        ("bias", False, "T,C", 24),
    ],
)
def test_skip_simplified_layer_normalization(bias: str, total: bool, kind: str, opset: int) -> None:
    shape = (2, 3, 4) if kind.count(",") == 2 else (3, 4)
    text = f"""(float[{kind}] x, float[{kind}] s, float[4] gamma, float[4] bias)
        => (float[{kind}] y{f", float[{kind}] t" if total else ""}) {{
        y{", , , t" if total else ""} = com.microsoft.SkipSimplifiedLayerNormalization
            <epsilon = 0.01> (x, s, gamma, {bias}) }}"""
    text = text if bias else text.replace(", float[4] bias", "")
    feeds = {"x": normal(*shape), "s": normal(*shape, seed=1), "gamma": normal(4, seed=2)}
    feeds |= {"bias": normal(4, seed=4)} if bias else {}
    wanted = [name for name in feeds if name != "gamma"]
    check_body(text, feeds, wanted, opset=opset, through=["y", "t"] if total else ["y"])


@pytest.mark.parametrize("opset", [11, 21])
def test_simplified_layer_normalization(opset: int) -> None:
    """In the standard's domain, where onnxruntime has it."""
    text = """(float[B,T,4] x, float[4] g) => (float[B,T,C] y) {
        y = SimplifiedLayerNormalization <axis = -1, epsilon = 0.01> (x, g) }"""
    check_body(text, {"x": normal(2, 3, 4), "g": normal(4, seed=1)}, ["x"], opset=opset)
