"""Input weights of recurrent operators: cut with the exact gradient; the rest has a reason."""

from __future__ import annotations

import numpy as np
import pytest
from builders import check, found, model, normal, ops

from onnx_factorize import factorize
from onnx_factorize.report.inspection import inspect

HIDDEN, WIDTH = 10, 24
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _dense(op_type):
    """Bidirectional; inputs lie near a subspace, so that a cut along it loses little."""
    rows = 2 * GATES[op_type] * HIDDEN
    text = f"""(float[steps, batch, {WIDTH}] x) => (float[steps, batch, 5] y) {{
        [cell] h, last = {op_type} <hidden_size = {HIDDEN}, direction = "bidirectional">
            (x, w, r, b)
        t = Transpose <perm = [0, 2, 1, 3]> (h)
        f = Reshape (t, shape)
        [head] l = MatMul (f, v)
        y = Softmax <axis = -1> (l)
    }}"""
    return model(
        text,
        {
            "w": normal(1, rows, WIDTH).reshape(2, -1, WIDTH) / np.float32(5),
            "r": normal(2, 2, rows // 2, HIDDEN) / np.float32(6),
            "b": normal(3, 2, rows) / np.float32(5),
            "v": normal(4, 2 * HIDDEN, 5),
            "shape": np.array([0, 0, 2 * HIDDEN]),
        },
    )


def _data(samples=64):
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((3, WIDTH))
    feeds = []
    for _ in range(samples):
        x = rng.standard_normal((6, 1, 3)) @ basis + 0.05 * rng.standard_normal((6, 1, WIDTH))
        feeds.append({"x": x.astype(np.float32)})
    return feeds


@pytest.mark.parametrize("op_type", GATES)
def test_the_input_is_narrowed_along_what_it_is(op_type):
    dense = _dense(op_type)
    result = factorize(
        dense, _data(), budget="targets=0.4", exclude="head", rank_multiple=1, weighting="fisher"
    )
    layers = {layer.name: layer for layer in result.report.layers}
    cell = layers["cell"]
    assert (cell.op_type, cell.form, cell.status) == (op_type, "narrow input", "factorized")
    assert cell.rank >= 3
    assert layers["cell (recurrent)"].status == "skipped"
    assert not result.report.warnings or "gradient" not in " ".join(result.report.warnings)
    assert result.report.divergence["holdout"] < 0.02
    proto = check(result.model)
    assert ops(proto)[:2] == ["MatMul", op_type]
    assert proto.graph.node[1].name == "cell"
    again = inspect(proto)
    assert next(x.reason for x in again.layers if x.name == "cell").startswith("was factorized")


def test_both_weights_are_counted_once():
    proto = _dense("LSTM")
    listed = {layer.name: layer for layer in inspect(proto).layers}
    rows = 8 * HIDDEN
    assert listed["cell"].params[0] == rows * WIDTH
    assert listed["cell (recurrent)"].params[0] == rows * HIDDEN
    assert "loop" in listed["cell (recurrent)"].reason


def test_computed_weights_have_a_reason():
    proto = model(
        """(float[s, b, 8] x, float[1, 16, 8] w) => (float[s, d, b, 4] y) {
            y = LSTM <hidden_size = 4> (x, w, r)
        }""",
        {"r": normal(1, 1, 16, 4)},
    )
    _, finder = found(proto)
    assert not finder.targets
    assert "no constant weight" in finder.skipped[0].reason
