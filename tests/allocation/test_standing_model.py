"""A graph that takes factors without being rewritten computes what the rewritten one does."""

from __future__ import annotations

import numpy as np
import pytest
from builders import assert_close, found, model, normal, run, svd_factors

from onnx_factorize.allocation.standing_model import StandingModel
from onnx_factorize.passes import RewriteTargets
from onnx_factorize.runtime.reloadable import Reloadable
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.runtime.session import Runtime

RUNTIME = OnnxRuntime(threads=1)
X = {"x": normal(0, 4, 12)}

GRAPHS = {
    "biased": (
        """(float[n, 12] x) => (float[n, 5] y, float[n, 9] early) {
            [a] early = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, b)
            [d] h = MatMul (early, v)
            y = Add (h, c)
        }""",
        {"w": normal(1, 9, 12), "b": normal(2, 9), "v": normal(3, 9, 5), "c": normal(4, 5)},
        X,
    ),
    "tied": (
        """(int64[n] ids) => (float[n, 30] y) {
            [table] e = Gather (w, ids)
            t = Transpose <perm = [1, 0]> (w)
            [head] y = MatMul (e, t)
        }""",
        {"w": normal(1, 30, 8)},
        {"ids": np.arange(6)},
    ),
    "branch": (
        """(float[n, 12] x, bool flag) => (float[n, 9] y) {
            y = If (flag) <then_branch = yes () => (float[n, 9] t) { [a] t = MatMul (x, w) },
                           else_branch = no () => (float[n, 9] f) { [d] f = MatMul (x, v) }>
        }""",
        {"w": normal(1, 12, 9), "v": normal(2, 12, 9)},
        X | {"flag": np.array(True)},
    ),
    "half": (
        "(float16[n, 12] x) => (float16[n, 9] y) { [a] y = Gemm (x, w, b) }",
        {"w": normal(1, 12, 9, dtype=np.float16), "b": normal(2, 9, dtype=np.float16)},
        {"x": normal(0, 4, 12, dtype=np.float16)},
    ),
    "double": (
        "(double[n, 12] x) => (double[n, 9] y) { [a] y = Gemm (x, w, b) }",
        {"w": normal(1, 12, 9, dtype=np.float64), "b": normal(2, 9, dtype=np.float64)},
        {"x": normal(0, 4, 12, dtype=np.float64)},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("rank", [2, 5])
def test_it_computes_what_the_rewritten_model_does(name, rank):
    text, weights, feeds = GRAPHS[name]
    whole, finder = found(model(text, weights))
    factors = {}
    for target in finder.targets:
        shift = np.arange(target.groups * target.columns) / 8 if target.centred else None
        own = svd_factors(target, rank, shift)
        factors[target.name] = own
        factors |= {use.name: own.flipped if use.flipped else own for use in target.tied}
    standing = StandingModel(whole, [value.name for value in whole.graph.outputs], RUNTIME)
    dense = standing.dense.run(feeds)
    cut = standing.session(factors).run(feeds)
    again = standing.session({}).run(feeds)
    RewriteTargets(factors)(whole)
    tolerance = 2e-2 if name == "half" else 1e-5
    for value, wanted in zip(whole.graph.outputs, run(whole, feeds), strict=True):
        assert_close(cut[value.name], wanted, tolerance)
        assert not np.allclose(cut[value.name], dense[value.name])
        np.testing.assert_array_equal(again[value.name], dense[value.name])


def test_values_within_the_graph_can_be_watched():
    text, weights, feeds = GRAPHS["biased"]
    whole, finder = found(model(text, weights))
    standing = StandingModel(whole, ["h"], RUNTIME)
    wanted = feeds["x"] @ weights["w"].T * 0.5 + 2 * weights["b"]
    assert_close(standing.dense.run(feeds)["h"], wanted @ weights["v"], 1e-5)
    assert {target.name for target in finder.targets} == {"a", "d"}


def test_a_runtime_that_takes_no_weights_apart_loads_all_again(monkeypatch):
    """What onnxruntime does at once, any runtime can."""
    text, weights, feeds = GRAPHS["biased"]
    whole, _ = found(model(text, weights))
    values = [whole.graph.initializers["w"], whole.graph.initializers["b"]]
    contents = {values[0]: 2 * weights["w"], values[1]: 3 * weights["b"]}
    seen = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(OnnxRuntime, "loader", Runtime.loader)
        loaded = Reloadable(found(model(text, weights))[0], RUNTIME, [])
        assert loaded.session({}).run(feeds).keys() == {"y", "early"}
        whole, _ = found(model(text, weights))
        own = [whole.graph.initializers[name] for name in ("w", "b")]
        loaded = Reloadable(whole, RUNTIME, own)
        given = dict(zip(own, contents.values(), strict=True))
        seen.append(loaded.session(given).run(feeds)["early"])
        dense = loaded.session({}).run(feeds)["early"]
        assert_close(dense, loaded.dense.run(feeds)["early"], 1e-6)
    wanted = feeds["x"] @ weights["w"].T + 6 * weights["b"]
    for each in seen:
        assert_close(each, wanted, 1e-5)


@pytest.mark.parametrize("apart", [True, False], ids=["lent", "in the graph"])
def test_the_dense_model_is_itself_again_after_a_release(apart, monkeypatch):
    """Though the graph may still hold the weights of the last plan."""
    if not apart:
        monkeypatch.setattr(OnnxRuntime, "loader", Runtime.loader)
    text, weights, feeds = GRAPHS["biased"]
    graph, finder = found(model(text, weights))
    standing = StandingModel(graph, ["y"], RUNTIME)
    before = standing.dense.run(feeds)["y"]
    factors = {t.name: svd_factors(t, 2) for t in finder.targets}
    cut = standing.session(factors)
    standing.dense.release()
    changed = cut.run(feeds)["y"]
    np.testing.assert_array_equal(standing.dense.run(feeds)["y"], before)
    np.testing.assert_array_equal(cut.run(feeds)["y"], changed)
    assert not np.allclose(changed, before)
    cut.release()  # what was lent weights stays as it is
    np.testing.assert_array_equal(cut.run(feeds)["y"], changed)
