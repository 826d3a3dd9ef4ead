"""Refitting: exact where it can be, never worse on what it is fitted to, and gated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal
from hypothesis import given
from hypothesis import strategies as st

from onnx_factorize import factorize
from onnx_factorize.allocation import plan, refitted
from onnx_factorize.allocation.allocator import Allocator
from onnx_factorize.factorization import refit as refitting
from onnx_factorize.factorization.bias_correction import factors_of
from onnx_factorize.factorization.refit import refit
from onnx_factorize.factorization.regression import Regression
from onnx_factorize.goals.budgets import price_of
from onnx_factorize.options import HIGH, Options
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress

LAYERS = 8


def _solve(z, y, known, *, centred=True):
    regression = Regression(z.shape[1], y.shape[1], centred=centred)
    for part in np.array_split(np.arange(len(z)), 5):
        regression.add(z[part], y[part])
    return regression.solve(known)


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([1.0, 1e4]))
def test_the_regression_is_the_minimum_of_what_it_says(seed, centred, offset):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(60, 4)) * [1, 10, 0.1, 1] + offset * centred
    y = rng.normal(size=(60, 3))
    known = rng.normal(size=(4, 3))
    factor, shift = _solve(z, y, known, centred=centred)
    energy = z.var(axis=0) if centred else np.square(z).mean(axis=0)

    def cost(b, s):
        fit = np.square(y - z @ b - s).sum(axis=1).mean()
        return fit + 0.1 * (energy[:, None] * np.square(b - known)).sum()

    least = cost(factor, shift)
    for _ in range(10):
        step = 1e-3 * rng.normal(size=factor.shape) / (1 + offset * centred)
        moved = shift + 1e-3 * rng.normal(size=3) * centred
        assert cost(factor + step, shift) >= least * (1 - 1e-9)
        assert cost(factor, moved) >= least * (1 - 1e-9)


def test_what_is_known_stays_where_it_is_right():
    rng = np.random.default_rng(0)
    z, known = rng.normal(size=(50, 4)), rng.normal(size=(4, 3))
    factor, shift = _solve(z, z @ known + 2.0, known)
    np.testing.assert_allclose(factor, known, atol=1e-10)
    np.testing.assert_allclose(shift, 2.0, atol=1e-10)


def test_a_component_without_energy_stays():
    rng = np.random.default_rng(0)
    z, known = rng.normal(size=(50, 4)), rng.normal(size=(4, 3))
    z[:, 2] = 0
    factor, _ = _solve(z, rng.normal(size=(50, 3)), known)
    np.testing.assert_allclose(factor[2], known[2])


@pytest.fixture(scope="module")
def deep():
    """A deep network, calibrated."""
    widths = [48] * (LAYERS + 1)
    weights, lines = {}, []
    for layer in range(LAYERS):
        weights[f"w{layer}"] = normal(layer, 48, 48) / 6
        weights[f"b{layer}"] = normal(9 + layer, 48) / 5
        lines.append(f"[layer{layer}] h{layer} = Gemm (x{layer}, w{layer}, b{layer})")
        lines.append(f"x{layer + 1} = Tanh (h{layer})")
    text = (
        f"(float[batch, {widths[0]}] x0) => (float[batch, {widths[-1]}] x{LAYERS}) "
        f"{{ {chr(10).join(lines)} }}"
    )
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 48))
    feeds = [{"x0": (rng.normal(size=(64, 12)) @ mix / 3).astype(np.float32)} for _ in range(8)]
    proto = model(text, weights)
    options = Options.of(samples=512, threads=1, effort="high", narrow="off")
    return proto, feeds, calibrated(proto, feeds, options, Progress())


def _factors(known, rank):
    analysis = known.analysis
    candidate = analysis.candidates[0]
    return {
        t.name: factors_of(t, analysis.spectrum(t, candidate), analysis.statistics[t.name], rank)
        for t in known.targets
    }


def _refit(known, factors):
    only = np.ones(known.data.calibration_samples, bool)
    return refit(
        known.normal, known.targets, factors, known.data, only, known.analysis.evaluator.runtime
    )


def test_at_full_rank_nothing_changes(deep):
    _, _, known = deep
    factors = _factors(known, 48)
    fitted = _refit(known, factors)
    for name, found in fitted.items():
        np.testing.assert_allclose(
            found.down @ found.up, factors[name].down @ factors[name].up, atol=1e-3
        )


def test_errors_of_earlier_layers_are_corrected(deep):
    """On held-out data the last layer's error falls; the first layer, fed as ever, stays."""
    proto, feeds, known = deep
    factors = _factors(known, 8)
    fitted = _refit(known, factors)
    assert fitted["layer0"] is factors["layer0"]

    def error(found):
        x = feeds[-1]["x0"].astype(np.float64)
        dense = x
        for layer in range(LAYERS):
            each = found[f"layer{layer}"]
            weights = {t.name: t for t in proto.graph.initializer}
            bias = np.frombuffer(weights[f"b{layer}"].raw_data, np.float32)
            weight = np.frombuffer(weights[f"w{layer}"].raw_data, np.float32).reshape(48, 48)
            dense = np.tanh(dense @ weight + bias)
            x = np.tanh(x @ each.down[0] @ each.up[0] + bias + each.bias_shift)
        return np.square(x - dense).mean()

    assert error(fitted) < 0.95 * error(factors)


def test_what_stands_in_a_branch_is_fitted_before_what_reads_it(monkeypatch):
    """Targets of branches are found last, when what is fitted in order has passed them."""
    text = """(float[b, 16] x) => (float[b, 16] z) {
        [a] h = MatMul (x, w0) s = ReduceMean <keepdims = 0> (h) k = Greater (s, zero)
        c = If (k) <then_branch = yes () => (float[b, 16] u) { [t] u = MatMul (h, w1) },
                    else_branch = no () => (float[b, 16] v) { [e] v = MatMul (h, w2) }>
        [d] z = MatMul (c, w3)
    }"""
    weights = {f"w{n}": normal(n, 16, 16) / 4 for n in range(4)} | {"zero": np.float32(0)}
    solved, own = [], refitting._solved

    def noted(target, factors, sums):
        solved.append((target.name, sums[0].rows > 0))
        return own(target, factors, sums)

    monkeypatch.setattr(refitting, "_solved", noted)
    options = {"budget": "targets=0.5", "include": ["."], "rank_multiple": 1, "prefer": "size"}
    whole = model(text, weights, opset=17)
    result = factorize(whole, {"x": normal(9, 96, 16)}, threads=1, effort="low", **options)
    cut = {layer.name for layer in result.report.layers if layer.rank}
    assert [name for name, _ in solved] == [name for name in "ted" if name in cut]
    assert cut == set("ated")
    assert all(rows for _, rows in solved)


def test_a_fit_that_gains_is_taken_and_reported(deep):
    proto, feeds, _ = deep
    options = {"samples": 512, "threads": 1, "budget": "targets=0.15", "narrow": "off"}
    report = factorize(proto, feeds, **options).report
    assert report.divergence["refit"] < 0.97
    assert "refit" in report.seconds


def test_the_bundled_model_is_not_made_worse():
    options = Options.of(samples=160, threads=1, budget="targets=0.3")
    known = calibrated(BUNDLED, BUNDLED_DATA, options, Progress())
    evaluator = known.analysis.evaluator
    report = factorize(BUNDLED, BUNDLED_DATA, samples=160, threads=1, budget="targets=0.3").report
    gain = report.divergence["refit"]
    assert gain is None or gain < 0.97
    assert evaluator.divergence({}, [0, 1]) == pytest.approx(0, abs=1e-9)
    assert dataclasses.asdict(report)["divergence"]["predicted"] > 0
    assert evaluator.runtime.session(known.normal).outputs


def _two_ways(known):
    """Two plans, allocated and measured."""
    options = Options.of(samples=512, threads=1, budget="targets=0.15")
    price = price_of(options.budget, known.costs)
    allocator = Allocator(known.targets, known.analysis, price, options)
    evaluator, candidates = known.analysis.evaluator, known.analysis.candidates
    allocations = []
    for candidate in (candidates[1], candidates[0]):
        allocation = allocator.allocate(known.dense, candidate)
        divergence = evaluator.measure(allocation.ranks, candidate.weighting, candidate.shrinkages)
        allocations.append((allocation, divergence))
    return allocations


def test_plans_of_other_origins_are_refitted_unless_they_are_hopeless(deep, monkeypatch):
    """What a refit gains, the order of plans before it does not tell."""
    proto, feeds, _ = deep
    seen = []
    original = plan.best_refitted

    def watched(allocations, evaluator, advance):
        seen.extend(
            (allocation.candidate.name, divergence) for allocation, divergence in allocations
        )
        return original(allocations, evaluator, advance)

    monkeypatch.setattr(plan, "best_refitted", watched)
    options = {"samples": 512, "threads": 1, "budget": "targets=0.15", "effort": "high"}
    tried = factorize(proto, feeds, **options).report.divergence["tried"]
    divergences = [divergence for _, divergence in seen]
    assert divergences[0] == min(divergences)
    assert max(divergences) < 4 * divergences[0]
    assert len({name for name, _ in seen}) == len(seen) > 1
    assert {name for name, _ in seen} <= set(tried)


def test_the_best_after_the_refit_is_taken_and_fitted_on_all(deep, monkeypatch):
    _, _, known = deep
    evaluator, allocations = known.analysis.evaluator, _two_ways(known)
    monkeypatch.setattr(evaluator, "effort", dataclasses.replace(HIGH, fitted=64))
    best = refitted.best_refitted(allocations, evaluator)
    alone = [refitted.best_refitted([way], evaluator).divergence for way in allocations]
    assert best.divergence == min(alone) < max(alone)
    before = {allocation.candidate.name: divergence for allocation, divergence in allocations}
    assert best.gain < 0.97
    assert best.divergence == pytest.approx(best.gain * before[best.allocation.candidate.name])
    everything = np.ones(known.data.calibration_samples, bool)
    wanted = refit(
        evaluator.normal,
        best.allocation.fitted,
        best.allocation.factors,
        evaluator.data,
        everything,
        evaluator.runtime,
        most=64 * evaluator.ease,
    )
    for name, factors in wanted.items():
        np.testing.assert_array_equal(best.factors[name].up, factors.up)


def test_of_many_plans_the_best_after_a_quick_refit_are_refitted_in_full(deep, monkeypatch):
    _, _, known = deep
    evaluator, allocations = known.analysis.evaluator, _two_ways(known)
    monkeypatch.setattr(evaluator, "effort", dataclasses.replace(HIGH, fitted=64))
    monkeypatch.setattr(refitted, "_FINALISTS", 1)
    fitted = []
    original = refitted.refit

    def counted(normal, targets, factors, data, only, runtime, advance, most):
        fitted.append((len(targets), most))
        return original(normal, targets, factors, data, only, runtime, advance, most)

    monkeypatch.setattr(refitted, "refit", counted)
    steps = []
    best = refitted.best_refitted(allocations, evaluator, steps.append)
    alone = refitted.best_refitted(
        [pair for pair in allocations if pair[0] is best.allocation], evaluator
    )
    assert best.divergence == alone.divergence
    # Both quickly, the better one in full, and in the end on all samples.
    full = 64 * evaluator.ease
    assert evaluator.ease > 1
    assert [most for _, most in fitted[:4]] == [64, 64, full, full]
    assert sum(steps) <= refitted.most_cuts(allocations)
