"""Latencies of models that take turns; the clock is made up."""

from __future__ import annotations

import numpy as np
import pytest
from builders import model, normal

from onnx_factorize import factorize
from onnx_factorize.runtime import interleaved
from onnx_factorize.runtime.interleaved import NOISY, Ratio, Timing, latencies


class _Clocked:
    """A model that takes so long; the machine becomes slower from run to run."""

    now = 0.0
    pace = 1.0

    def __init__(self, seconds):
        self.seconds = seconds
        self.as_written = self

    def clock(self):
        return _Clocked.now

    def run(self, _):
        _Clocked.now += self.seconds * _Clocked.pace
        _Clocked.pace *= 1.0005


def test_ratios_are_paired_and_times_are_of_a_sample():
    timing = latencies([_Clocked(0.032), _Clocked(0.016)], {}, samples=16)
    assert timing.times.shape == (100, 2)
    # The machine became slower by a tenth meanwhile, which falls on both.
    assert timing.times[-1, 0] > 1.09 * timing.times[0, 0]
    assert timing.ratio().median == pytest.approx(0.5, rel=1e-3)
    assert timing.ratio().state == "faster"
    assert timing.ratio(0, 1).state == "slower"
    assert timing.least[0] == pytest.approx(2.0, rel=0.01)
    assert timing.medians[1] == pytest.approx(1.05, rel=0.01)


def test_rounds_have_a_least_and_a_most():
    pair = [_Clocked(1.0), _Clocked(1.0)]
    assert latencies(pair, {}, 0.0).times.shape == (5, 2)
    assert latencies(pair, {}, rounds=(2, 3)).times.shape == (3, 2)


@pytest.mark.parametrize(
    ("low", "median", "high", "state"),
    [
        (0.78, 0.80, 0.82, "faster"),
        (1.05, 1.06, 1.08, "slower"),
        (0.99, 1.00, 1.01, "alike"),
        (1.01, 1.015, 1.03, "alike"),
        (0.90, 0.97, 1.04, NOISY),
        (0.95, 1.20, 1.30, NOISY),
        (0.55, 0.70, 0.80, NOISY),
        (1.10, 1.50, 1.60, NOISY),
    ],
)
def test_states(low, median, high, state):
    ratio = Ratio(median, (low, high), 30)
    assert ratio.state == state
    assert ratio.sentence().startswith(NOISY) == (state == NOISY)
    assert Ratio.of(ratio.as_dict()) == ratio


def test_quartiles_are_those_of_the_ratios():
    times = np.array([[1.0, r] for r in (0.5, 0.6, 0.7, 0.8, 0.9)])
    ratio = Timing(times).ratio()
    assert (ratio.median, ratio.quartiles, ratio.rounds) == (0.7, (0.6, 0.8), 5)


@pytest.mark.parametrize("batch", ["n", "16"])
def test_latency_is_that_of_a_sample_also_of_a_fixed_batch(batch, monkeypatch):
    """A machine on which every run takes 32 ms and half of that once it is cut."""
    asked = []

    def clock(sessions, *_, samples=1, **__):
        asked.append(samples)
        return Timing(np.array([[32.0, 16.0][: len(sessions)]] * 5) / samples)

    for module in ("pipeline", "meet_goal"):
        monkeypatch.setattr(f"onnx_factorize.{module}.latencies", clock)
    proto = model(
        f"(float[{batch}, 24] x) => (float[{batch}, 6] y) {{ [a] h = MatMul (x, w) r = Relu (h) "
        "[b] y = MatMul (r, v) }",
        {"w": normal(1, 24, 32), "v": normal(2, 32, 6)},
    )
    result = factorize(
        proto, [{"x": normal(3, 64, 24)}], budget="targets=0.7", threads=1, weighting="activation"
    )
    size = 1 if batch == "n" else 16
    assert set(asked) == {size}
    assert result.report.model["dense"].latency_ms == 32.0 / size
    assert result.report.timing == {
        "ratio": 0.5, "quartiles": [0.5, 0.5], "rounds": 5, "state": "faster"
    }  # fmt: skip


def test_one_threshold_says_what_is_slower():
    assert interleaved.SLOWER == 1.02
    assert Ratio(1.021, (1.0205, 1.0215), 9).state == "slower"
    assert Ratio(1.019, (1.018, 1.0195), 9).state == "alike"
