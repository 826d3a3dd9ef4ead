"""What `inspect` finds in models that cannot be compressed as they are."""

from __future__ import annotations

import onnx_ir as ir
from builders import model, normal

from onnx_factorize.report.inspection import inspect


def test_a_model_whose_outputs_are_all_ignored_can_be_inspected():
    text = "(float[b, 8] x) => (bool[b, 8] y) { [a] h = MatMul (x, w) y = IsNaN (h) }"
    found = inspect(model(text, {"w": normal(1, 8, 8)}))
    assert found.outputs == {"y": "ignore"}
    assert [layer.name for layer in found.layers] == ["a"]


def test_what_enters_a_selection_is_shown_beside_it():
    text = "(float[b, 8] x) => (int64[b, 1] y) { [a] h = MatMul (x, w) y = ArgMax (h) }"
    found = inspect(model(text, {"w": normal(1, 8, 8)}))
    assert found.outputs == {"y": "ignore", "h": "categorical"}


def test_a_graph_is_copied_twice(monkeypatch, mlp):
    """Copies of graphs of thousands of nodes are most of the time: one for shapes of channels."""
    copies = []
    clone = ir.Model.clone
    monkeypatch.setattr(ir.Model, "clone", lambda *a, **k: copies.append(1) or clone(*a, **k))
    found = inspect(mlp)
    assert found.macs == 24 * 32 + 32 * 6
    assert len(copies) == 2
