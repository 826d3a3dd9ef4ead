"""The widths that channels may have, and their prices."""

from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.allocation.channel_prices import ChannelPrices, Item
from onnx_factorize.allocation.model_costs import Costs
from onnx_factorize.curve import Curve
from onnx_factorize.factorization.narrowing.narrowing import find_narrowings
from onnx_factorize.goals.budgets.latency import Latency
from onnx_factorize.goals.budgets.macs import Macs
from onnx_factorize.goals.budgets.targets import Targets
from onnx_factorize.passes import FindTargets, LiftWeights
from onnx_factorize.runtime.arithmetic import Arithmetic

COSTS = Costs(10_000, 40_000, Arithmetic(1_000_000, {}), latency_ms=1.0)


def prices_of(text, weights, price):
    loaded = ir.from_proto(model(text, weights))
    LiftWeights()(loaded)
    finder = FindTargets()
    finder(loaded)
    narrowings, _ = find_narrowings(loaded, finder.targets)
    assert narrowings
    return ChannelPrices.of(narrowings, finder.targets, price)


def convolutions(width, price):
    text = """(float[b, 3, 8, 8] x) => (float[b, 32, 8, 8] y) {
        h = Conv <pads = [1, 1, 1, 1]> (x, w) r = Relu (h) y = Conv (r, v) }"""
    weights = {"w": normal(1, width, 3, 3, 3), "v": normal(2, 32, width, 1, 1)}
    (found,) = prices_of(text, weights, price).widths
    return found.tolist()


@pytest.mark.parametrize("width", [16, 24, 48, 64, 160])
def test_channels_of_convolutions_fill_their_blocks_where_speed_counts(width):
    assert convolutions(width, Macs(COSTS)) == [*range(16, width, 16), width]


@pytest.mark.parametrize(("width", "step"), [(16, 8), (24, 8), (64, 8), (160, 16)])
def test_channels_of_convolutions_go_in_small_blocks_where_time_is_measured(width, step):
    assert convolutions(width, Latency(COSTS)) == [*range(step, width, step), width]


def test_channels_cost_what_was_measured_of_all_that_shares_them():
    """Alone, and beside others as a product; what saves nothing is no width."""
    items = [Item(3.0, ({0: 1.0},)), Item(6.0, ({0: 1.0}, {1: 1.0})), Item(1.0, ({1: 1.0},))]
    narrowings = [SimpleNamespace(name=name, width=4) for name in "ab"]
    plain = ChannelPrices(narrowings, [np.arange(1, 5)] * 2, items)
    curves = {"a": Curve(20.0, (1, 2, 3), (16.0, 18.0, 20.5)), "b": Curve(9.0, (1, 3), (0.0, 6.0))}
    timed = plain.with_latencies(curves)
    assert [widths.tolist() for widths in timed.widths] == [[1, 2, 4], [1, 2, 3, 4]]
    for plan, saved in ({"a": 1}, 4.0), ({"a": 2}, 2.0), ({"a": 0}, 0.0), ({"b": 3}, 3.0):
        assert timed.change(timed.shares(plan)) == pytest.approx(-saved)
    # Nine are saved of the second where operators save seven: what lies between saves the rest.
    assert timed.change(timed.shares({"b": 1})) == pytest.approx(-9.0)
    both = timed.change(timed.shares({"a": 1, "b": 1}))
    assert -13.0 < both < -9.0
    assert plain.change(plain.shares({"a": 1})) == pytest.approx(-0.75 * 9)


@pytest.mark.parametrize(("width", "step"), [(12, 4), (16, 4), (48, 4), (64, 8), (160, 16)])
def test_channels_of_convolutions_stay_in_their_layout(width, step):
    assert convolutions(width, Targets(COSTS)) == [*range(step, width, step), width]


def test_channels_of_products_have_steps_by_their_number():
    text = (
        "(float[b, 20] x) => (float[b, 30] y) { h = MatMul (x, w) r = Relu (h) y = MatMul (r, v) }"
    )
    weights = {"w": normal(1, 20, 16), "v": normal(2, 16, 30)}
    (found,) = prices_of(text, weights, Latency(COSTS)).widths
    np.testing.assert_array_equal(found, [*range(2, 16, 2), 16])
