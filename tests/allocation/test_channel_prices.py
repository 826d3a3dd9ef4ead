"""The widths that channels may have."""

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.allocation.channel_prices import ChannelPrices
from onnx_factorize.allocation.model_costs import Costs
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
@pytest.mark.parametrize("price", [Macs(COSTS), Latency(COSTS)])
def test_channels_of_convolutions_fill_their_blocks_where_time_counts(width, price):
    assert convolutions(width, price) == [*range(16, width, 16), width]


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
