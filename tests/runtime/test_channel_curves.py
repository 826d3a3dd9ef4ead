"""Channels are timed with all that shares them; the clock is made up."""

from __future__ import annotations

import numpy as np
import pytest
from builders import model, normal, weights_as_time
from narrowed_channels import channels

from onnx_factorize.runtime.channel_curves import few_of, measure_channels
from onnx_factorize.runtime.latency_cache import LatencyCache
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.runtime.this_machine import ThisMachine, time_fed

RUNTIME = OnnxRuntime(threads=1)
TWICE = """(float[n, 12] x) => (float[n, 10] y) {
    [a] h = MatMul (x, w1)
    hb = Add (h, b1)
    r = Relu (hb)
    [b] s = MatMul (r, w2)
    t = Softmax (s)
    [c] g = MatMul (t, w3)
    gb = Add (g, b3)
    q = Relu (gb)
    [d] y = MatMul (q, w4)
}"""


def _curves(timer, folder, widths=(8, 8)):
    first, second = widths
    weights = {
        "w1": normal(0, 12, first), "b1": normal(1, first), "w2": normal(2, first, 12),
        "w3": normal(3, 12, second), "b3": normal(4, second), "w4": normal(5, second, 12),
    }  # fmt: skip
    whole, finder = channels(model(TWICE.replace("10] y", "12] y"), weights))
    groups = {each.name: each for each in finder.groups}
    steps = {name: np.append(np.arange(2, g.width, 2), g.width) for name, g in groups.items()}
    seen = []
    curves = measure_channels(
        whole, groups, steps, {"x": normal(6, 3, 12)}, 64,
        ThisMachine(LatencyCache(RUNTIME, folder), timer), RUNTIME, seen.append,
    )  # fmt: skip
    assert len(seen) == len(groups) == 2
    return curves


@pytest.mark.parametrize("second", [8, 10])
def test_alike_neighbours_are_timed_once(tmp_path, second):
    calls = []

    def timer(models, feeds, *_):
        calls.append({name: array.shape for name, array in feeds.items()})
        return weights_as_time(models)

    curves = _curves(timer, tmp_path, (8, second))
    assert len(calls) == (1 if second == 8 else 2)
    assert curves["a"].dense == pytest.approx(1e-3 * (8 * 24 + 8))
    assert curves["a"].ranks == (2, 4, 6)
    np.testing.assert_allclose(curves["a"].times, 1e-3 * 25 * np.array([2, 4, 6]))
    assert curves["c"].dense == pytest.approx(1e-3 * 25 * second)
    # Another run finds all of it on disk.
    assert _curves(timer, tmp_path, (8, second)) == curves
    assert len(calls) == (1 if second == 8 else 2)


def test_the_clock_of_onnxruntime_times_them(tmp_path, monkeypatch):
    monkeypatch.setattr("onnx_factorize.runtime.this_machine._SECONDS", 0.01)
    curves = _curves(time_fed, tmp_path)
    assert all(time > 0 for curve in curves.values() for time in curve.times)


def test_few_widths_are_timed_the_least_and_the_largest_among_them():
    assert few_of(np.array([16])) == ()
    assert few_of(np.array([8, 16, 24, 32])) == (8, 16, 24)
    chosen = few_of(np.append(np.arange(16, 1152, 16), 1152))
    assert len(chosen) == 6
    assert (chosen[0], chosen[-1]) == (16, 1136)
