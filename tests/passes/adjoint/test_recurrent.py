"""Backpropagation through time, against finite differences in float64."""

import numpy as np
import pytest
from adjoint_harness import check, normal

SIZES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN", "GRU, linear_before_reset = 1"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("length", "batch", "opset"), [(1, 2, 18), (3, 1, 14), (4, 2, 11)])
def test_recurrent(op: str, direction: str, length: int, batch: int, opset: int) -> None:
    op, _, extra = op.partition(", ")
    d, n = 2 if direction == "bidirectional" else 1, SIZES[op]
    random = np.random.default_rng(3)

    def constant(name: str, *shape: int) -> str:
        values = ", ".join(f"{v / 2:.4f}" for v in random.standard_normal(int(np.prod(shape))))
        return f"float[{', '.join(map(str, shape))}] {name} = {{{values}}}"

    h, i = 2, 3
    weights = [constant("w", d, n * h, i), constant("r", d, n * h, h), constant("b", d, 2 * n * h)]
    cell = op == "LSTM"
    state = f", float[{d}, B, {h}] c0" if cell else ""
    text = f"""(float[T, B, {i}] x, float[{d}, B, {h}] h0{state})
        => (float[T, {d}, B, {h}] y, float[{d}, B, {h}] yh{", float[D, B, H] yc" if cell else ""})
        <{", ".join(weights)}> {{
        y, yh{", yc" if cell else ""} = {op} <hidden_size = {h}, direction = "{direction}"
        {", " + extra if extra else ""}> (x, w, r, b, , h0{", c0" if cell else ""}) }}"""
    feeds = {"x": normal(length, batch, i), "h0": normal(d, batch, h, seed=1)}
    if cell:
        feeds["c0"] = normal(d, batch, h, seed=2)
    # onnxruntime has no recurrent kernels of doubles, and onnx's evaluator not all directions.
    check(text, feeds, opset=opset, single=True, h=1e-2, tolerance=3e-3)


def test_without_bias_and_states() -> None:
    text = """(float[T, B, 2] x) => (float[T, 1, B, 1] y)
        <float[1, 4, 2] w = {1.0, 0.5, -0.5, 0.2, 0.7, -1.0, 0.1, 0.3},
         float[1, 4, 1] r = {0.5, -0.5, 0.3, 0.8}> { y = LSTM <hidden_size = 1> (x, w, r) }"""
    check(text, {"x": normal(3, 2, 2)}, single=True, h=1e-2, tolerance=3e-3)
