"""What fine-tuning trains: all weights, but for tables that are only looked up and are whole."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

torch = pytest.importorskip("torch")

from onnx_factorize import InputError, factorize  # noqa: E402
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


@pytest.mark.parametrize("svt", ["none", "hard"])
def test_a_table_that_was_not_cut_stays(svt):
    options = {} if svt == "none" else {"svt": svt, "epochs": 4}
    before, after = trained("MatMul", **options)
    assert np.array_equal(after["table"], WEIGHTS["table"].astype(np.float32))
    changed = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    assert len(changed) >= 2


def test_a_table_that_was_cut_is_trained():
    before, after = trained("Gather")
    assert "table" not in before
    tall = [name for name, value in before.items() if len(value) == len(WEIGHTS["table"])]
    assert tall
    assert not any(np.array_equal(before[name], after[name]) for name in tall)


def test_a_table_that_a_product_reads_too_is_trained():
    graph = """(int64[b, 7] tokens) => (float[b, 7, 60] logits) {
        rows = Gather (table, tokens)
        turned = Transpose (table)
        logits = MatMul (rows, turned)
    }"""
    (table,) = ir.from_proto(model(graph, {"table": WEIGHTS["table"]})).graph.initializers.values()
    assert is_fine_tuned(table)


def test_nothing_to_train_is_refused():
    graph = """(int64[b, 7] tokens) => (float[b, 7, 16] rows) { rows = Gather (table, tokens) }"""
    whole = model(graph, {"table": WEIGHTS["table"]})
    with pytest.raises(InputError, match="--finetune finds no weights"):
        factorize(whole, [{"tokens": TOKENS}], finetune=True, budget="targets=1", threads=1)
