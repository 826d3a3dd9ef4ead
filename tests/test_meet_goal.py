"""A budget of size looks at time where the model became slower; the clock is made up."""

from __future__ import annotations

import pytest
from builders import timing

from onnx_factorize import factorize, meet_goal, pipeline
from onnx_factorize.curve import Curve
from onnx_factorize.goals import timings
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.latency_cache import LatencyCache
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

SLOW = "first"


@pytest.fixture
def timed(monkeypatch):
    """Cuts of one operator take twice as long as it dense, and a model with such a cut too."""
    timed, models = [], []
    session = OnnxRuntime.session

    def loaded(runtime, model, outputs=None):
        models.append(model)
        return session(runtime, model, outputs)

    def latencies(*_, **__):
        cut = any(node.name == f"{SLOW}.down" for node in models[-1].graph)
        return timing(1.0, 2.0 if cut else 0.5)

    def curves(_, unfoldings, __, ranks, *___):
        timed.extend(unfolding.name for unfolding in unfoldings)
        return {
            name: Curve(1.0, tuple(of), (2.0 if name == SLOW else 0.5,) * len(of))
            for name, of in ranks.items()
        }

    monkeypatch.setattr(OnnxRuntime, "session", loaded)
    monkeypatch.setattr(meet_goal, "latencies", latencies)
    monkeypatch.setattr(timings, "measure_curves", curves)
    monkeypatch.setattr(pipeline, "latencies", lambda *_, **__: timing(1.0, 1.0))
    return timed


def _cut(result):
    return {layer.name for layer in result.report.layers if layer.status == "factorized"}


OPTIONS = {"weighting": "activation", "rank_multiple": 1}


def test_slower_cuts_are_left_out_where_the_model_became_slower(timed, mlp, mlp_feeds):
    result = factorize(mlp, mlp_feeds, budget="targets=0.9", **OPTIONS)
    assert timed
    assert _cut(result) == {"second"}


def test_size_does_not_look(timed, mlp, mlp_feeds):
    result = factorize(mlp, mlp_feeds, budget="targets=0.9", prefer="size", **OPTIONS)
    assert not timed
    assert SLOW in _cut(result)


def test_several_processes_do_not_look(timed, mlp, mlp_feeds, monkeypatch):
    """Each would decide by a clock of its own, and they train one model."""
    monkeypatch.setattr(meet_goal.processes, "count", lambda: 2)
    factorize(mlp, mlp_feeds, budget="targets=0.9", **OPTIONS)
    assert not timed


def test_what_cannot_be_had_otherwise_is_slower(timed, mlp, mlp_feeds):
    result = factorize(mlp, mlp_feeds, budget="targets=0.5", **OPTIONS)
    assert timed
    assert SLOW in _cut(result)


def test_a_model_is_timed_once_unless_it_changes(timed, mlp, mlp_feeds, monkeypatch):
    monkeypatch.setattr(meet_goal, "latencies", lambda *_, **__: timing(1.0, 0.75))
    result = factorize(mlp, mlp_feeds, budget="targets=0.9", **OPTIONS)
    assert result.report.timing["ratio"] == pytest.approx(0.75)
    result = factorize(mlp, mlp_feeds, budget="targets=0.9", prefer="size", **OPTIONS)
    assert result.report.timing["ratio"] == pytest.approx(1.0)


def test_no_other_model_is_looked_for_once_the_time_is_over(timed, mlp, mlp_feeds):
    result = factorize(mlp, mlp_feeds, budget="targets=0.9", max_time=1e-9, **OPTIONS)
    assert not timed
    assert SLOW in _cut(result)


def test_a_search_for_faster_cuts_ends_with_its_time(mlp, mlp_feeds, monkeypatch):
    """It may be over while operators are timed: none of those is timed any more."""
    late = []
    monkeypatch.setattr(meet_goal, "latencies", lambda *_, **__: timing(1.0, 2.0))
    monkeypatch.setattr(meet_goal, "time_fed", lambda *_: pytest.fail("is timed"))
    monkeypatch.setattr(Progress, "late", property(lambda _: bool(late) or late.append(1)))
    monkeypatch.setattr(LatencyCache, "get", lambda *_: None)
    result = factorize(mlp, mlp_feeds, budget="targets=0.9", **OPTIONS)
    assert _cut(result)
