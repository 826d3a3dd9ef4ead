"""Batches are small enough for what is observed of them, long samples or short."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal

from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.options import Selection
from onnx_factorize.passes import FindTargets
from onnx_factorize.runtime.footprint import Footprint
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.micro_batches import micro_batches
from onnx_factorize.statistics.observer import Observer

GRAPH = "(float[b, t, 8] x) => (float[b, t, 4] y) { y = MatMul (x, w) }"


@dataclasses.dataclass(frozen=True)
class _Room:
    batch: float


@pytest.fixture
def observer_and_data():
    graph = ir.from_proto(model(GRAPH, {"w": normal(1, 8, 4)}))
    finder = FindTargets()
    finder(graph)
    # In the order of their lengths, as files of texts often are.
    feeds = [{"x": normal(t, 16, t, 8).astype(np.float32)} for t in (2, 4, 32, 64)]
    data = open_calibration(feeds, Signature.of(graph), Selection(batch_size=16, holdout=0.0))
    # Values that are not observed take nothing here.
    data = data.measured(Footprint(live=0.0, every=0.0))
    return Observer(graph, finder.targets, OnnxRuntime(threads=1)), data


def test_short_samples_come_in_large_batches(observer_and_data):
    observer, data = observer_and_data
    whole = [(b.samples, b.feeds["x"].shape[1]) for b in micro_batches(data, None, observer)]
    assert whole == [(16, 2), (16, 4), (16, 32), (16, 64)]
    # What is observed of 4 samples of 64 places.
    data.memory = _Room(4 * 64 * 4 * 4)
    found = [(b.samples, b.feeds["x"].shape[1]) for b in micro_batches(data, None, observer)]
    assert found == [(16, 2), (16, 4), (8, 32), (8, 32), (4, 64), (4, 64), (4, 64), (4, 64)]


def test_nothing_is_lost_or_told_twice(observer_and_data):
    observer, data = observer_and_data
    data.memory = _Room(1)
    only = np.arange(data.calibration_samples) % 3 == 0
    rows = [b.feeds["x"] for b in micro_batches(data, only, observer)]
    whole = [b.feeds["x"] for b in data.batches("calibration", only=only)]
    assert all(len(row) == 1 for row in rows)
    joined = np.concatenate([row.ravel() for row in rows])
    assert np.array_equal(joined, np.concatenate([row.ravel() for row in whole]))


def test_a_model_runs_on_as_much_as_its_values_leave_room_for(observer_and_data):
    _, data = observer_and_data
    # Half of the bytes that are fed, as much again for the runtime, and all of that three times.
    data = data.measured(Footprint(live=0.5, every=0.0))
    data.memory = _Room(4 * 64 * 8 * 4 * 3)
    for split in ("calibration", "holdout"):
        found = [(b.samples, b.feeds["x"].shape[1]) for b in data.micro_batches(split)]
        assert found == [(16, 2), (16, 4), (8, 32), (8, 32), (4, 64), (4, 64), (4, 64), (4, 64)]


def test_gradients_need_values_that_a_run_lets_go(observer_and_data):
    observer, data = observer_and_data
    data = data.measured(Footprint(live=3.0, every=100.0))
    # y is half as large as x.
    assert observer.taken(data) == 0.5 + 6 * 3.0
    assert Footprint(3.0, 100.0).observing(0.5, gradients=True) == 0.5 + 50


@pytest.mark.parametrize("weighting", ["fisher", "diagonal"])
def test_what_a_batch_showed_is_gone_before_the_next_one_runs(weighting, monkeypatch):
    run, lasting, count = Observer.run, [], 0

    def watched(self, batch, draw=0):
        nonlocal count
        count += 1
        lasting.extend(each for each in before if each() is not None)
        observation = run(self, batch, draw)
        before[:] = [weakref.ref(observation)]
        return observation

    before = []
    monkeypatch.setattr(Observer, "run", watched)
    options = {"budget": "targets=0.5", "samples": 96, "threads": 1, "batch_size": 8}
    factorize(BUNDLED, BUNDLED_DATA, weighting=weighting, narrow="off", **options)
    assert count > 8
    assert not lasting
