"""Embedding tables: found, cut exactly, and weighted by what is looked up."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, model, normal, run, svd_factors

from onnx_factorize import factorize
from onnx_factorize.passes import RewriteTargets

TABLE = normal(1, 30, 12)
TEXT = """(int64[{dims}] ids) => (float[{out}] y) {{
    [embed] e = Gather {attributes}(T, ids)
    y = Relu(e)
}}"""


def _graph(dims="b, l", attributes="", table=TABLE, opset=20):
    out = ", ".join(f"o{axis}" for axis in range(dims.count(",") + 2))
    text = TEXT.format(dims=dims, out=out, attributes=attributes)
    return model(text, {"T": table}, opset=opset)


@pytest.mark.parametrize(("dims", "shape"), [("l", (5,)), ("b, l", (2, 5)), ("a, b, l", (2, 1, 3))])
@pytest.mark.parametrize("attributes", ["", "<axis = 0>", "<axis = -2>"])
def test_exact_at_full_rank_and_a_product_below(dims, shape, attributes):
    dense = _graph(dims, attributes, opset=11)
    feeds = {"ids": np.random.default_rng(0).integers(-30, 30, shape)}
    for rank in (12, 3):
        given = ir.from_proto(dense)
        _, finder = found(dense)
        (target,) = finder.targets
        assert (target.rows, target.columns, target.side) == (30, 12, "output")
        factors = svd_factors(target, rank)
        RewriteTargets({"embed": factors})(given)
        near = (factors.down @ factors.up)[0].astype(np.float32)
        assert_close(run(check(given), feeds)[0], run(_graph(dims, attributes, near), feeds)[0])
        node = next(node for node in given.graph if node.name == "embed")
        assert node.op_type == "MatMul"
        assert not any(value.name == "T" for value in given.graph.initializers.values())


@pytest.mark.parametrize(
    ("attributes", "table", "reason"),
    [
        ("<axis = 1>", normal(2, 8, 30), "columns"),
        ("", normal(3, 30, 4, 3), "3 axes"),
    ],
)
def test_skipped_with_a_reason(attributes, table, reason):
    _, finder = found(_graph("l", attributes, table))
    assert not finder.targets
    (skip,) = finder.skipped
    assert reason in skip.reason
    assert skip.params == table.size


def test_constant_rows_and_picked_values_are_no_targets():
    text = """(int64[l] ids) => (float[a, c] y, int64[k] z) {
        rows = Constant <value_ints = [1, 2]> ()
        e = Gather(T, rows)
        y = Relu(e)
        z = Gather(N, ids)
    }"""
    _, finder = found(model(text, {"T": TABLE, "N": np.arange(6)}))
    assert not finder.targets
    (skip,) = finder.skipped
    assert "constant" in skip.reason


def _embeddings(frequencies, samples=64):
    rng = np.random.default_rng(0)
    return [{"ids": rng.choice(30, (8, 4), p=frequencies)} for _ in range(samples // 8)]


@pytest.mark.parametrize("weighting", ["fisher", "activation", "diagonal"])
def test_rows_that_are_looked_up_often_are_kept_best(weighting):
    """Of two blocks of rows in orthogonal subspaces, the one that is looked up survives."""
    rng = np.random.default_rng(1)
    table = np.zeros((30, 12), np.float32)
    table[:15, :6] = rng.standard_normal((15, 6))
    table[15:, 6:] = rng.standard_normal((15, 6))
    dense = model(
        "(int64[b, l] ids) => (float[b, l, 12] y) { [embed] e = Gather(T, ids) y = Mul(e, one) }",
        {"T": table, "one": np.ones(1, np.float32)},
    )
    for often in (slice(0, 15), slice(15, 30)):
        frequencies = np.full(30, 0.001 / 15)
        frequencies[often] = 0.999 / 15
        result = factorize(
            dense,
            _embeddings(frequencies),
            budget="targets=0.72",
            weighting=weighting,
            rank_multiple=1,
        )
        ids = np.arange(30)[often][None]
        (y,) = run(result.model, {"ids": ids})
        assert_close(y[0], table[often], 1e-3 if weighting != "fisher" else 0.05)


def test_positions_common_to_a_batch_have_one_gradient():
    """An embedding of shape (1, places, N), added to every sample, is judged like one of each."""
    weights = {"T": TABLE, "P": normal(5, 16, 12)}
    common = """(int64[b, 16] ids, int64[1, 16] places) => (float[b, 16, 12] y) {
        [embed] e = Gather(T, ids)
        [place] p = Gather(P, places)
        s = Add(e, p)
        y = Tanh(s)
    }"""
    places = np.arange(16)[None]
    rng = np.random.default_rng(0)
    feeds = [{"ids": rng.integers(0, 30, (8, 16)), "places": places} for _ in range(6)]
    result = factorize(model(common, weights), feeds, budget="targets=0.6", samples=40)
    layer = next(layer for layer in result.report.layers if layer.name == "place")
    assert layer.loss > 0 or layer.status == "kept"
    assert not result.report.warnings or "gradient" not in " ".join(result.report.warnings)
