"""What fine-tuning trains: all weights, but for tables that are only looked up and are whole."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize import factorize

torch = pytest.importorskip("torch")

from onnx_factorize.torch.parameters import is_fine_tuned  # noqa: E402

READER = """(int64[b, 7] tokens) => (float[b, 5] logits) {
    rows = Gather (table, tokens)
    axes = Constant <value_ints = [1]> ()
    read = ReduceMean <keepdims = 0> (rows, axes)
    wide = MatMul (read, w)
    bent = Tanh (wide)
    logits = MatMul (bent, v)
}"""
WEIGHTS = {"table": normal(1, 60, 16), "w": normal(2, 16, 24), "v": normal(3, 24, 5)}
TOKENS = np.random.default_rng(4).integers(0, 60, (96, 7))


def trained(op_type, **training):
    """Initializers by name, without and with training."""
    options = {"op_types": (op_type,), "threads": 1, "weighting": "none", "budget": "targets=0.6"}
    results = [
        factorize(model(READER, WEIGHTS), [{"tokens": TOKENS}], **options, **more)
        for more in ({}, {"finetune": True, "learning_rate": 1e-2, **training})
    ]
    found = [
        {name: v.const_value.numpy() for name, v in result.model.graph.initializers.items()}
        for result in results
    ]
    assert found[0].keys() == found[1].keys()
    return found


@pytest.fixture(autouse=True)
def _sixty_rows_are_many(monkeypatch):
    monkeypatch.setattr("onnx_factorize.torch.parameters._LARGE_TABLE", 512)


@pytest.mark.parametrize("svt", ["none", "hard"])
def test_a_table_that_was_not_cut_stays(svt):
    options = {} if svt == "none" else {"svt": svt, "epochs": 4}
    before, after = trained("MatMul", **options)
    assert np.array_equal(after["table"], WEIGHTS["table"].astype(np.float32))
    changed = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    assert len(changed) == len(before) - 1


def test_a_table_that_was_cut_is_trained():
    before, after = trained("Gather")
    assert "table" not in before
    tall = [name for name, value in before.items() if len(value) == len(WEIGHTS["table"])]
    assert tall
    assert not any(np.array_equal(before[name], after[name]) for name in tall)


READ_OTHERWISE = {
    "by a product too": "r = Gather (table, tokens) t = Transpose (table) y = MatMul (r, t)",
    "column by column": "y = Gather <axis = 1> (table, tokens)",
    "as the indices": "i = Cast <to = 7> (table) y = Gather (tokens, i)",
    "and given out": "y = Gather (table, tokens)",
}


def graph(body, outputs="float[?, ?, ?] y", **weights):
    proto = model(f"(int64[b, 7] tokens) => ({outputs}) {{ {body} }}", weights)
    return ir.from_proto(proto)


@pytest.mark.parametrize("name", READ_OTHERWISE)
def test_a_table_that_is_not_only_looked_up_is_trained(name):
    plain = graph("y = Gather (table, tokens)", table=WEIGHTS["table"])
    assert not is_fine_tuned(plain.graph.initializers["table"])
    outputs = "float[?, ?, ?] y" + (", float[60, 16] table" if name == "and given out" else "")
    other = graph(READ_OTHERWISE[name], outputs, table=WEIGHTS["table"])
    assert is_fine_tuned(other.graph.initializers["table"])


def test_small_tables_and_stacks_of_matrices_are_trained(monkeypatch):
    stack = graph("m = Gather (stack, tokens) y = Neg (m)", stack=normal(1, 4, 8, 8))
    assert is_fine_tuned(stack.graph.initializers["stack"])
    monkeypatch.undo()  # sixty rows are few again
    small = graph("y = Gather (table, tokens)", table=WEIGHTS["table"])
    assert is_fine_tuned(small.graph.initializers["table"])


def test_without_anything_to_train_it_stays_as_it_is():
    whole = model(
        "(int64[b, 7] tokens) => (float[b, 7, 16] rows) { rows = Gather (table, tokens) }",
        {"table": WEIGHTS["table"]},
    )
    feeds = [{"tokens": TOKENS}]
    report = factorize(whole, feeds, finetune=True, budget="targets=1", threads=1).report
    assert report.finetune["before"] == report.finetune["after"] == 0
    assert not report.finetune["epochs"]
