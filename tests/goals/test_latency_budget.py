"""Budgets of time with a made-up clock; the clock of onnxruntime decides no test."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest
from builders import (
    BUNDLED,
    BUNDLED_DATA,
    found,
    model,
    normal,
    price,
    run,
    timing,
    weights_as_time,
)

from onnx_factorize import BudgetError, factorize, meet_goal, pipeline
from onnx_factorize.allocation.candidates import candidates
from onnx_factorize.allocation.channel_prices import ChannelPrices, Item
from onnx_factorize.allocation.forms import operator_choices, restricted
from onnx_factorize.allocation.model_costs import Costs
from onnx_factorize.allocation.plan import Plan
from onnx_factorize.curve import Curve
from onnx_factorize.factorization.forms import form_named, unfoldings_of
from onnx_factorize.goals import timings
from onnx_factorize.goals.latency_budget import compress_in_time, savings
from onnx_factorize.options import Budget
from onnx_factorize.passes import isolated
from onnx_factorize.runtime.arithmetic import Arithmetic
from onnx_factorize.runtime.latency_cache import LatencyCache
from onnx_factorize.runtime.latency_curve import grid, measure_curves
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.runtime.this_machine import ThisMachine, time_fed

RUNTIME = OnnxRuntime(threads=1)


def test_the_grid_spans_the_ranks():
    ranks = np.arange(4, 400, 4)
    chosen = grid(ranks)
    assert len(chosen) <= 7
    assert chosen[-1] == ranks[-1]
    assert chosen[0] <= ranks[-1] / 20
    assert set(chosen) <= set(ranks)
    assert grid(np.array([8])) == (8,)
    assert grid(np.array([], np.int64)) == ()


def test_a_curve_is_interpolated_and_never_falls():
    curve = Curve(10.0, (10, 20, 40), (2.0, 1.5, 6.0))
    np.testing.assert_allclose(curve.at(np.array([5, 10, 20, 30, 40])), [2, 2, 2, 4, 6])
    assert np.isinf(Curve(1.0, (), ()).at(np.array([3]))).all()


TWO = """(float[batch, 8, 24] x) => (float[batch, 8, 24] y) {
    [a] h = MatMul (x, w1)
    [b] g = MatMul (h, w2)
    [c] y = MatMul (g, w3)
}"""
TWO_WEIGHTS = {"w1": normal(1, 24, 64), "w2": normal(2, 64, 24), "w3": normal(3, 24, 24)}


def _curves(timer, cache, names="abc"):
    normal_model, finder = found(model(TWO, TWO_WEIGHTS))
    shapes = {"a": (1, 8, 24), "b": (1, 8, 64), "c": (1, 8, 24)}
    ranks = {t.name: np.arange(2, 12, 2) for t in finder.targets}
    shapes = {name: shapes[name] for name in names}
    return measure_curves(normal_model, finder.targets, shapes, ranks, ThisMachine(cache, timer))


def test_every_target_is_measured_once_in_its_own_shape(tmp_path):
    calls = []

    def timer(models, feeds, *_):
        calls.append(feeds["x"].shape)
        return weights_as_time(models)

    curves = _curves(timer, LatencyCache(RUNTIME, tmp_path))
    assert calls == [(1, 8, 24), (1, 8, 64), (1, 8, 24)]
    assert curves["a"].dense == pytest.approx(1e-3 * 24 * 64)
    # Factors of rank r have r (24 + 64) weights: what was timed is what would be written.
    np.testing.assert_allclose(curves["a"].at(np.array([2, 5])), [0.176, 0.44])
    # Another run finds all of it on disk, and a target whose input is not known is left out.
    again = _curves(timer, LatencyCache(RUNTIME, tmp_path), "ab")
    assert len(calls) == 3
    assert again == {name: curves[name] for name in "ab"}


def test_a_cache_belongs_to_its_conditions_and_may_be_broken(tmp_path):
    cache = LatencyCache(RUNTIME, tmp_path)
    cache.put("k", [1.0, 2.0])
    cache.save()
    assert LatencyCache(RUNTIME, tmp_path).get("k", 2) == [1.0, 2.0]
    assert LatencyCache(RUNTIME, tmp_path).get("k", 3) is None
    assert LatencyCache(OnnxRuntime(threads=2), tmp_path).get("k", 2) is None
    assert json.loads(cache.path.read_text())["conditions"]["threads"] == 1
    times = ["3", '["x", 1]', "[NaN, 1.0]", "[-1.0, 2.0]", "[1e999, 2.0]", "[" * 100_000]
    for broken in ("{", "[]", *(f'{{"milliseconds": {{"k": {each}}}}}' for each in times)):
        cache.path.write_text(broken)
        assert LatencyCache(RUNTIME, tmp_path).get("k", 2) is None
    cache.path.write_bytes(b"\xff\x00")
    assert LatencyCache(RUNTIME, tmp_path).get("k", 2) is None
    nowhere = LatencyCache(RUNTIME, tmp_path / "file")
    (tmp_path / "file").write_text("not a folder")
    nowhere.put("k", [1.0])
    nowhere.save()
    assert nowhere.get("k", 1) == [1.0]


def test_a_user_without_a_home(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", unknown)
    assert LatencyCache(RUNTIME).path.name.startswith("latencies-")


CONVOLUTION = """(float[n, 4, 9, 9] x) => (float[n, 6, 5, 5] y) {
    [t] y = Conv <strides = [2, 2], pads = [1, 1, 1, 1], group = 2> (x, w)
}"""


@pytest.mark.parametrize(
    ("text", "weights", "shape"),
    [
        ("(float[n, 8] x) => (float[n, 6] y) { [t] y = MatMul (x, w) }",
         {"w": normal(1, 8, 6)}, (3, 8)),
        ("(float[n, 8] x) => (float[n, 6] y) { [t] y = Gemm <transB = 1> (x, w, b) }",
         {"w": normal(1, 6, 8), "b": normal(2, 6)}, (3, 8)),
        (CONVOLUTION,
         {"w": normal(1, 6, 2, 3, 3)}, (1, 4, 9, 9)),
        ("(double[n, 8] x) => (double[n, 6] y) { [t] y = MatMul (x, w) }",
         {"w": normal(1, 8, 6).astype(np.float64)}, (3, 8)),
    ],
)  # fmt: skip
def test_an_isolated_target_is_the_same_operator(text, weights, shape):
    normal_model, finder = found(model(text, weights))
    alone = isolated(finder.targets[0], shape, normal_model)
    dtype = np.float64 if text.startswith("(double") else np.float32
    x = normal(5, *shape).astype(dtype)
    # With the target's own constants for the random ones, it computes what the target does.
    for index, (name, array) in enumerate(weights.items(), 1):
        alone.graph.initializers[f"w{index}"].const_value = ir.tensor(array, name=name)
    y, wanted = run(alone, {"x": x})[0], run(model(text, weights), {"x": x})[0]
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    assert len(time_fed([alone], {"x": x}, RUNTIME, 1000)) == 1


def test_candidates_that_are_no_faster_are_none():
    _, finder = found(model(TWO, TWO_WEIGHTS))
    target = finder.targets[0]
    curve = Curve(1.0, (2, 10, 16), (0.2, 0.9, 1.5))
    choices = candidates(target, np.linspace(1, 0, 25), price("latency"), 0, 2, curve)
    assert list(choices.ranks) == [2, 4, 6, 8, 10, 0]
    np.testing.assert_allclose(choices.costs, [0.2, 0.375, 0.55, 0.725, 0.9, 1.0])


NONE = ChannelPrices((), (), ())


class _Machine:
    """Models of one target whose whole-model time is any function of what was predicted."""

    def __init__(self, truth):
        self.truth = truth
        self.asked = []
        curve = Curve(10.0, (0, 1000), (0.0, 10.0))
        self.costs = Costs(0, 0, Arithmetic(0, {}), None, 10.0, {"t": curve})

    def compress(self, budget, costs):
        self.asked.append(budget.value)
        times = costs.curves["t"].at(np.arange(1001)) / 10.0
        rank = max(300, int(np.searchsorted(times, budget.value - 1e-9)))
        return rank, Plan({"t": rank}, {}, "", {}, None)

    def run(self, asked, **more):
        return compress_in_time(
            Budget("latency", asked), self.compress, lambda rank: self.truth(rank / 1000),
            self.costs, NONE, **more,
        )  # fmt: skip


def test_a_prediction_that_holds_is_left_alone():
    machine = _Machine(lambda share: share)
    model, _, met = machine.run(0.6)
    assert model == 600
    assert machine.asked == [0.6]
    assert (met.asked, met.predicted, met.measured) == pytest.approx((0.6, 0.6, 0.6))


@pytest.mark.parametrize("gain", [0.7, 0.8, 1.2, 1.5])
@pytest.mark.parametrize("bend", [0.0, 0.3])
def test_a_prediction_that_fails_is_corrected(gain, bend):
    machine = _Machine(lambda share: 1 - gain * (1 - share) * (1 - bend * share))
    _, _, met = machine.run(0.7)
    assert met.measured == pytest.approx(0.7, rel=0.05)
    assert len(machine.asked) <= 5
    assert json.dumps(met.as_dict())


def test_absolute_budgets_are_in_milliseconds():
    _, _, met = _Machine(lambda share: share).run(6.0)
    assert met.asked == pytest.approx(0.6)
    assert Budget.parse("latency=6ms") == Budget("latency", 6.0)


def test_a_budget_that_cannot_be_met():
    machine = _Machine(lambda share: 0.5 + 0.5 * share)
    with pytest.raises(BudgetError, match=r"0\.650 of the dense"):
        machine.run(0.5)
    _, _, met = machine.run(0.5, best_effort=True)
    assert met.measured == pytest.approx(0.65)


@pytest.mark.usefixtures("time_is_weights")
def test_the_pipeline_spends_milliseconds(monkeypatch):
    """A machine on which time is weights: the model must be that which weights would choose."""

    def clock(sessions, *_, **__):
        return timing(390.0, *([195.0] if len(sessions) == 2 else []))

    for module in (pipeline, timings, meet_goal):
        monkeypatch.setattr(module, "latencies", clock)
    options = {"samples": 128, "threads": 1, "weighting": "activation"}
    result = factorize(BUNDLED, BUNDLED_DATA, budget="latency=0.5", **options)
    report = result.report
    assert report.latency["measured"] == 0.5
    assert report.latency["predicted"] == pytest.approx(0.5, abs=0.02)
    assert report.model["compressed"].params == pytest.approx(0.5 * 390412, rel=0.03)
    saved = sum(layer.ms[0] - layer.ms[1] for layer in report.layers if layer.ms)
    assert 1 - saved / 390.0 == pytest.approx(report.latency["predicted"])
    by_weights = factorize(BUNDLED, BUNDLED_DATA, budget="params=0.5", form="channel", **options)
    assert report.divergence["holdout"] == pytest.approx(
        by_weights.report.divergence["holdout"], rel=0.5
    )


def _convolution(tmp_path):
    """A convolution of three unfoldings, and their curves where time is weights."""
    text = """(float[n, 16, 9, 9] x) => (float[n, 24, 9, 9] y) {
        [t] y = Conv <pads = [1, 1, 1, 1]> (x, w)
    }"""
    normal_model, finder = found(model(text, {"w": normal(1, 24, 16, 3, 3)}))
    target = finder.targets[0]
    unfoldings = unfoldings_of(target)
    assert len(unfoldings) == 3
    ranks = {unfolding.name: np.arange(2, 13, 2) for unfolding in unfoldings}

    source = ThisMachine(LatencyCache(RUNTIME, tmp_path), weights_as_time)
    shapes = {"t": (1, 16, 9, 9)}
    return target, measure_curves(normal_model, unfoldings, shapes, ranks, source)


def test_every_unfolding_of_a_convolution_is_timed_as_it_would_be_written(tmp_path):
    target, curves = _convolution(tmp_path)
    for unfolding in unfoldings_of(target):
        assert curves[unfolding.name].dense == pytest.approx(1e-3 * target.params)
        assert curves[unfolding.name].of(4) == pytest.approx(1e-3 * unfolding.factor_params(4))


def test_the_unfolding_that_saves_more_time_for_the_loss_is_taken(tmp_path):
    target, curves = _convolution(tmp_path)
    unfoldings = unfoldings_of(target)
    losses = {
        unfolding.name: np.linspace(1, 0, unfolding.full_rank + 1) for unfolding in unfoldings
    }
    for fast in unfoldings:
        # The dense operator was timed at another moment beside each unfolding: that cancels out.
        skewed = {
            unfolding.name: Curve(2.0 + i, (0, 100), (1.0 + i, 1.0 + i))
            if unfolding is not fast
            else Curve(5.0, (0, 100), (1.0, 1.0))
            for i, unfolding in enumerate(unfoldings)
        }
        choices = operator_choices(target, losses, price("latency"), 0, lambda _: 2, curves=skewed)
        assert choices.plans[0][fast.name] > 0
        assert choices.dense - choices.costs[0] == pytest.approx(4.0)
    only = {target.name: curves[target.name]}
    choices = operator_choices(target, losses, price("latency"), 0, lambda _: 2, curves=only)
    assert all(not rank for plan in choices.plans for name, rank in plan.items() if name != "t")


@pytest.mark.parametrize("kind", ["macs", "params"])
@pytest.mark.parametrize("form", ["auto", "channel", "input", "tucker"])
def test_what_is_slower_is_not_taken(tmp_path, form, kind):
    target, curves = _convolution(tmp_path)
    unfoldings = unfoldings_of(target)
    losses = {
        unfolding.name: np.linspace(1, 0, unfolding.full_rank + 1) for unfolding in unfoldings
    }
    macs = 81 * target.params
    for factor, some in ((1.0, True), (100.0, False)):
        slow = {
            name: Curve(curve.dense, curve.ranks, tuple(factor * t for t in curve.times))
            for name, curve in curves.items()
        }
        one = restricted(target, form)
        found_choices = operator_choices(one, losses, price(kind), macs, lambda _: 2, form, slow)
        assert (len(found_choices.costs) > 1) == some
        # Where size alone is wanted, speed does not matter.
        by_size = operator_choices(one, losses, price(kind), macs, lambda _: 2, form)
        assert len(by_size.costs) > 1


def test_the_latency_of_pairs_is_that_of_their_weights(tmp_path):
    """Where time is weights, what both forms tell of a Tucker-2 form is exact."""
    target, curves = _convolution(tmp_path)
    inner = next(each for each in unfoldings_of(target) if each.unfolding.name == "input")
    curves[inner.name] = dataclasses.replace(
        curves[inner.name],
        dense=curves[inner.name].dense + 0.5,
        times=tuple(time + 0.5 for time in curves[inner.name].times),
    )
    ranks_in, ranks = np.array([4, 8, 6]), np.array([10, 4, 6])
    weights = 16 * ranks_in + 9 * ranks_in * ranks + 24 * ranks
    unfoldings = [target, inner]
    both = [curves[unfolding.name] for unfolding in unfoldings]
    found_times = form_named("tucker").latency(unfoldings, both, [ranks, ranks_in])
    np.testing.assert_allclose(found_times, 1e-3 * weights)


@pytest.mark.usefixtures("time_is_weights")
def test_a_slower_result_is_said_to_be_so(monkeypatch, mlp, mlp_feeds):
    monkeypatch.setattr(
        pipeline, "latencies", lambda sessions, *_, **__: timing(*[2.0, 3.0][: len(sessions)])
    )
    options = {"weighting": "activation", "rank_multiple": 1}
    result = factorize(mlp, mlp_feeds, budget="macs=0.8", **options)
    assert any("1.50 times as long" in warning for warning in result.report.warnings)


def _prices(width=8, price=4.0):
    """Channels whose width takes time, and an operator that may be cut, both of a price."""
    narrowing = SimpleNamespace(name="c", width=width)
    widths = np.arange(2, width + 1, 2)
    return ChannelPrices([narrowing], [widths], [Item(price, ({0: 1.0},))])


def test_savings_are_those_of_cuts_and_of_channels():
    curves = {"t": Curve(4.0, (0, 8), (0.0, 4.0))}
    costs = Costs(0, 0, Arithmetic(0, {}), None, 10.0, curves)
    plan = Plan({"t": 6, "c": 2}, {}, "", {}, None)
    np.testing.assert_allclose(savings(costs, plan, _prices()), [0.1, 0.3])
    dense = Plan({"t": 0, "c": 0}, {}, "", {}, None)
    np.testing.assert_allclose(savings(costs, dense, _prices()), [0.0, 0.0])


def test_what_cuts_save_is_told_from_what_channels_save():
    """Where cuts save nothing in truth and channels what is predicted, channels are narrowed."""
    costs = Costs(
        0, 0, Arithmetic(0, {}), None, 10.0,
        {"t": Curve(5.0, (0, 100), (0.0, 5.0))}, channels={"c": Curve(5.0, (0, 100), (0.0, 5.0))},
    )  # fmt: skip
    prices = ChannelPrices(
        [SimpleNamespace(name="c", width=100)], [np.arange(1, 101)], [Item(5.0, ({0: 1.0},))]
    )

    def compress(budget, known):
        """Cuts are a little cheaper in loss, but for what they are found to save."""
        rates = {"t": 1.1 * (5 - known.curves["t"].of(50)), "c": 5 - known.channels["c"].of(50)}
        ranks, left = {"t": 0, "c": 0}, 10.0 * (1 - budget.value)
        for name in sorted(rates, key=lambda name: -rates[name]):
            curve = known.curves["t"] if name == "t" else known.channels["c"]
            at = [rank for rank in range(10, 100) if curve.dense - curve.of(rank) <= left + 1e-9]
            if at:
                ranks[name] = at[0]
                left -= curve.dense - curve.of(at[0])
        return dict(ranks), Plan(ranks, {}, "", {}, None)

    def measure(ranks):
        return 1 - 0.5 * (1 - (ranks["c"] or 100) / 100)

    _, plan, met = compress_in_time(Budget("latency", 0.7), compress, measure, costs, prices)
    assert met.measured == pytest.approx(0.7, rel=0.05)
    assert plan.ranks["c"] == pytest.approx(40, abs=5)


def test_of_models_that_are_fast_enough_the_best_is_taken():
    machine = _Machine(lambda share: share)
    made = iter([(650, 0.5), (690, 0.9)])

    def compress(budget, costs):
        rank, divergence = next(made)
        return rank, Plan({"t": rank}, {}, "", {}, divergence)

    model, plan, _ = compress_in_time(
        Budget("latency", 0.7), compress, lambda rank: rank / 1000, machine.costs, NONE
    )
    assert model == 650
    assert plan.predicted == 0.5
