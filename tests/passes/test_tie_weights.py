"""Weights that several operators read: one factorization, its factors shared, no other harmed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, model, normal, run, svd_factors
from genai_models import genai_model, genai_text

from onnx_factorize import factorize
from onnx_factorize.files.model_io import load, parameters
from onnx_factorize.passes import RewriteTargets
from onnx_factorize.report.inspection import inspect

TABLE = normal(1, 30, 12)

TIED = {
    "transpose": "T2 = Transpose <perm = [1, 0]> (W) [out] y = MatMul(t, T2)",
    "gemm": "[out] y = Gemm <transB = 1> (t, W)",
    "gemm with bias": "[out] y = Gemm <transB = 1, beta = 2.0> (t, W, c)",
    "identity": "T1 = Identity(W) T2 = Transpose(T1) [out] y = MatMul(t, T2)",
    "twice": "T2 = Transpose(W) [out] z = MatMul(t, T2) z2 = Softmax(z) [back] u = MatMul(z2, W) "
    "v = Tanh(u) [last] y = MatMul(v, T2)",
}
EMBEDDING = """(int64[b] ids) => (float[b, 30] y) {{
    [embed] e = Gather(W, ids)
    t = Tanh(e)
    {rest}
}}"""
# The table is stored as the product reads it, as onnxruntime-genai's builder does.
TURNED = """(int64[b] ids) => (float[b, 30] y) {{
    T1 = Transpose <perm = [1, 0]> (W)
    [embed] e = Gather(T1, ids)
    t = Tanh(e)
    {rest}
}}"""
TIED_TURNED = {
    "turned": "[out] y = MatMul(t, W)",
    "turned gemm": "[out] y = Gemm (t, W, c)",
    "turned back": "T2 = Transpose (T1) [out] y = MatMul(t, T2)",
    "turned twice": "[out] z = MatMul(t, W) z2 = Softmax(z) [back] u = MatMul(z2, T1) "
    "v = Tanh(u) f = Gather(T1, ids) w = Add(v, f) [last] y = MatMul(w, W)",
}
SHARED = {
    "two embeddings": (
        "(int64[b] ids) => (float[b, 12] y) { [p] a = Gather(W, ids) [q] b2 = Gather(W, ids) "
        "c2 = Tanh(a) y = Add(c2, b2) }"
    ),
    "two products": (
        "(float[b, 12] x) => (float[b, 12] y) { W2 = Transpose(W) [p] a = MatMul(x, W2) "
        "r = Tanh(a) s = MatMul(r, V) t = Tanh(s) [q] u = MatMul(t, W2) [back] v = Gemm(u, W) "
        "y = Add(v, x) }"
    ),
}
CONVS = """(float[b, 6, 9, 9] x) => (float[b, f] y) {
    [near] a = Conv <pads = [1, 1, 1, 1]> (x, K)
    [far] b2 = Conv <strides = [2, 2]> (a, K, bias)
    [wide] c2 = Conv <dilations = [2, 2]> (a, K)
    p = Flatten(b2)
    q = Flatten(c2)
    y = Concat <axis = 1> (p, q)
}"""


def _cases():
    ids = np.random.default_rng(0).integers(0, 30, 7)
    for name, rest in TIED.items():
        constants = {"c": normal(4, 30)} if "bias" in name else {}
        yield name, EMBEDDING.format(rest=rest), TABLE, constants, {"ids": ids}
    for name, rest in TIED_TURNED.items():
        constants = {"c": normal(4, 30)} if "gemm" in name else {}
        yield name, TURNED.format(rest=rest), np.ascontiguousarray(TABLE.T), constants, {"ids": ids}
    yield "two embeddings", SHARED["two embeddings"], TABLE, {}, {"ids": ids}
    x, constants = normal(5, 7, 12), {"V": normal(6, 30, 12)}
    yield "two products", SHARED["two products"], TABLE, constants, {"x": x}
    constants = {"bias": normal(7, 6)}
    yield "convolutions", CONVS, normal(8, 6, 6, 3, 3), constants, {"x": normal(9, 2, 6, 9, 9)}


CASES = {name: rest for name, *rest in _cases()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rank", [None, 2])
def test_one_factorization_for_all(name, rank):
    text, weight, constants, feeds = CASES[name]
    key = "K" if weight.ndim == 4 else "W"
    dense = model(text, {key: weight, **constants})
    _, finder = found(dense)
    (target,) = [t for t in finder.targets if t.tied]
    assert not finder.skipped
    factors = svd_factors(target, rank or target.full_rank)
    near = (factors.down @ factors.up)[0]
    if weight.ndim == 4 or near.shape != weight.shape:
        near = near.T
    reference = model(text, {key: near.reshape(weight.shape).astype(np.float32), **constants})
    every = {use.name: factors.flipped if use.flipped else factors for use in target.uses}
    given = load(dense)
    RewriteTargets(every)(given)
    assert_close(run(check(given), feeds)[0], run(reference, feeds)[0])
    assert key not in given.graph.initializers
    kept = sum(c.size for c in constants.values())
    assert parameters(given) == kept + target.factor_params(factors.rank)


@pytest.mark.parametrize(
    ("also", "reason"),
    [
        ("n = Neg(W) y2 = ReduceSum(n)", "cannot read its factors"),
        ("y2 = Gemm <alpha = 0.5, transB = 1> (t, W)", "scales it"),
        ("w2 = Transpose(W) y2 = Gather(w2, ids)", "transposed"),
        ("y2 = Identity(W)", "cannot read its factors"),
    ],
)
def test_others_that_read_the_weight_keep_it_dense(also, reason):
    text = (
        "(int64[b] ids) => (float[b, 12] t, float[k, l] y2) {{ e = Gather(W, ids) t = Tanh(e) {} }}"
    )
    dense = model(text.format(also), {"W": TABLE})
    _, finder = found(dense)
    assert not finder.targets
    assert all(reason in skip.reason for skip in finder.skipped), finder.skipped
    assert sum(skip.params for skip in finder.skipped) == TABLE.size
    given = load(dense)
    RewriteTargets({})(given)
    feeds = {"ids": np.arange(4)}
    for actual, wanted in zip(run(given, feeds), run(dense, feeds), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_a_tied_operator_that_cannot_be_observed_keeps_all_dense():
    text = """(int64[b] ids, bool go, int64 n) => (float[b, 12] t, float[i, b, 12] z) {
        e = Gather(W, ids)
        t = Tanh(e)
        last, z = Loop (n, go, t) <body = body (int64 i, bool c, float[p, q] v)
                => (bool c2, float[p, r] u, float[p, r] w) {
            c2 = Identity(c)
            g = Gather(W, ids)
            u = Add(v, g)
            w = Identity(u)
        }>
    }"""
    _, finder = found(model(text, {"W": TABLE}))
    assert not finder.targets
    assert {skip.op_type for skip in finder.skipped} == {"Gather"}
    assert any("Loop" in skip.reason for skip in finder.skipped)
    assert any("shares its weight with" in skip.reason for skip in finder.skipped)


@pytest.fixture(scope="module")
def tied():
    rng = np.random.default_rng(0)
    low = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 12))
    table = (low + 0.3 * rng.standard_normal((60, 12))).astype(np.float32)
    text = """(int64[b, l] ids) => (float[b, l, 60] y) {
        [embed] e = Gather(W, ids)
        [inner] z = MatMul(e, V)
        t = Tanh(z)
        W2 = Transpose <perm = [1, 0]> (W)
        [head] l = MatMul(t, W2)
        y = Softmax <axis = -1> (l)
    }"""
    dense = model(text, {"W": table, "V": normal(1, 12, 12) / 4})
    return dense, [{"ids": rng.integers(0, 60, (8, 5))} for _ in range(24)]


@pytest.mark.parametrize("weighting", ["fisher", "activation", "none", "diagonal"])
def test_tied_embeddings_through_the_pipeline(tied, weighting):
    dense, data = tied
    result = factorize(dense, data, budget="params=0.7", weighting=weighting, rank_multiple=1)
    layers = {layer.name: layer for layer in result.report.layers}
    assert layers["embed"].status == layers["head"].status == "factorized"
    assert layers["embed"].rank == layers["head"].rank
    assert layers["head"].params == (0, 0)
    assert "embed" in layers["head"].reason
    assert sum(layer.params[1] for layer in layers.values()) == parameters(result.model)
    check(result.model)


def test_the_users_model_is_not_changed(tied):
    dense, data = tied
    before = dense.SerializeToString()
    factorize(dense, data, budget="params=0.7", weighting="none")
    assert dense.SerializeToString() == before


def test_prediction_counts_both_uses(tied):
    """At a mild cut the loss of the shared weight, to second order, is what is measured."""
    dense, data = tied
    result = factorize(dense, data, budget="params=0.97", rank_multiple=1, exclude="inner")
    report = result.report
    assert report.divergence["second_order"] == pytest.approx(report.divergence["holdout"], rel=0.5)


def test_excluding_one_excludes_all(tied):
    dense, data = tied
    result = factorize(dense, data, budget="targets=0.9", exclude="head")
    layers = {layer.name: layer for layer in result.report.layers}
    assert layers["embed"].status == layers["head"].status == "skipped"
    assert layers["embed"].params[0] + layers["head"].params[0] == 720


def test_inspect_lists_the_weight_once(tied):
    found_here = inspect(tied[0])
    assert found_here.target_params == found_here.params == 60 * 12 + 12 * 12
    assert sum(layer.params[0] for layer in found_here.layers) == found_here.params


def test_its_own_output_is_left(tied):
    dense, data = tied
    once = factorize(dense, data, budget="params=0.7", rank_multiple=1).model
    layers = inspect(once).layers
    chains = [layer for layer in layers if layer.reason and "factorized before" in layer.reason]
    assert {layer.name for layer in chains} >= {"embed", "head"}
    assert sum(layer.params[0] for layer in layers) == parameters(ir.from_proto(ir.to_proto(once)))


@pytest.mark.parametrize("weighting", ["fisher", "activation"])
def test_the_tied_table_of_a_genai_model(weighting):
    dense, data = genai_model(tied=True), {"input_ids": genai_text()}
    options = {"include": "embed|head", "weighting": weighting, "rank_multiple": 1, "threads": 1}
    result = factorize(dense, data, budget="targets=0.6", **options)
    layers = {layer.name: layer for layer in result.report.layers}
    table, head = layers["/embed_tokens/Gather"], layers["/lm_head/MatMul"]
    assert table.status == head.status == "factorized"
    assert table.rank == head.rank
    saved = parameters(load(dense)) - parameters(result.model)
    assert saved == table.params[0] - table.params[1] >= 0.4 * 60 * 32
    feeds = {"attention_mask": np.ones((40, 12), np.int64), **data}
    for value in result.model.graph.inputs[2:]:
        feeds[value.name] = np.zeros((40, 2, 0, 16), np.float32)
    assert np.isfinite(run(result.model, feeds)[0]).all()
