"""Operators that the data never reach: caches of no length, branches that were not taken."""

from __future__ import annotations

import numpy as np
import pytest
from builders import model, normal

from onnx_factorize import BudgetError, factorize

CACHE = """(float[N, T, 16] x, float[N, P, 16] cache) => (float[N, 5] y, float[N, U, 20] present) {
    [new] a = MatMul (x, w1) [old] b = MatMul (cache, w2) present = Concat <axis = 1> (b, a)
    m = ReduceMean <keepdims = 0> (present, axis) [last] y = MatMul (m, w3) }"""
WEIGHTS = {
    "w1": normal(1, 16, 20),
    "w2": normal(2, 16, 20),
    "w3": normal(3, 20, 5),
    "axis": np.array([1]),
}
MERGED = """(float[N, 16] x, bool first) => (float[N, 20] y) {
    y = If (first) <
        then_branch = t () => (float[N, 20] a) { r = Relu (x) [prefill] a = MatMul (r, w1) },
        else_branch = e () => (float[N, 20] b) { s = Relu (x) [step] b = MatMul (s, w1) }> }"""
OPTIONS = {"threads": 1, "prefer": "size", "weighting": "activation"}


def _feeds(lengths):
    return [
        {"x": normal(7 + i, 2, 6, 16), "cache": normal(70 + i, 2, length, 16)}
        for i, length in enumerate(lengths)
    ]


def test_a_cache_that_is_empty_at_times():
    report = factorize(
        model(CACHE, WEIGHTS), _feeds([0, 3] * 6), budget="targets=0.5", **OPTIONS
    ).report
    assert {layer.status for layer in report.layers if layer.name != "last"} == {"factorized"}


def test_a_cache_that_is_always_empty():
    report = factorize(
        model(CACHE, WEIGHTS), _feeds([0] * 8), budget="targets=0.7", **OPTIONS
    ).report
    assert {layer.name: layer.reason for layer in report.layers}["old"] == (
        "never ran on the calibration data"
    )
    assert report.warnings[-1].endswith("share their weights: 'old'.")


def test_a_branch_that_never_ran_is_named():
    """What it shares with the branch that ran stays dense, for the data say nothing of it."""
    feeds = [{"x": normal(i, 4, 16), "first": np.array(False)} for i in range(6)]
    proto = model(MERGED, WEIGHTS)
    with pytest.raises(BudgetError, match="never ran 'prefill': give data that do"):
        factorize(proto, feeds, budget="targets=0.5", **OPTIONS)
    report = factorize(proto, feeds, budget="targets=0.5", best_effort=True, **OPTIONS).report
    assert "'prefill'" in report.warnings[-1]
    both = [*feeds, *({**feed, "first": np.array(True)} for feed in feeds)]
    report = factorize(proto, both, budget="targets=0.5", **OPTIONS).report
    assert [layer.status for layer in report.layers] == ["factorized", "factorized"]
