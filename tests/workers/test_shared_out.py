"""Workers gather what one process gathers, whatever becomes of one of them."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import onnx
import pytest
from builders import W_LARGE, model, normal
from commands import main_of

from onnx_factorize import InputError, Options, Progress, factorize, sweep
from onnx_factorize.calibrating import calibrate_part
from onnx_factorize.shards import WHOLE, Shard
from onnx_factorize.statistics.statistics_file import load
from onnx_factorize.workers import shared_out
from onnx_factorize.workers.rounds import Workers
from onnx_factorize.workers.shared_out import _Seen

TEXT = """(float[batch, 64] x) => (float[batch, 48] y) {
    [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] z = MatMul (r, w2) y = Softmax (z)
}"""
MODEL, DATA = model(TEXT, W_LARGE), {"x": normal(1, 96, 64)}
OPTIONS = {"threads": 1, "prefer": "size"}
LOST = "A worker was lost"


class Dead(Executor):
    """An executor whose workers are lost, all but the first so many."""

    def __init__(self, living=0):
        self._living = living

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self._living -= 1
        if self._living < 0:
            future.set_exception(BrokenExecutor())
        else:
            future.set_result(fn(*args, **kwargs))
        return future


class Killing(_Seen):
    """Kills a worker once a piece is begun."""

    killed: ClassVar[list[int]] = []

    def look(self):
        while not self.killed and not self.attempts:
            time.sleep(0.001)
        if not self.killed:
            self.killed.append(self.attempts[0])
            os.kill(self.killed[0], signal.SIGKILL)
        super().look()


def _part(shard=WHOLE, executor=None, progress=None, **options):
    given = Options.of(threads=1, **options)
    return calibrate_part(MODEL, DATA, given, progress or Progress(), shard, None, executor)


def _assert_same(one, other):
    """The same sums, up to rounding."""
    assert one.shared.channels == other.shared.channels
    assert (one.count, one.numbers) == (other.count, other.numbers)
    for mine, theirs in zip(one.gathered.parts, other.gathered.parts, strict=True):
        assert list(mine) == list(theirs)
        for name in mine:
            assert mine[name].signal.count == theirs[name].signal.count
            np.testing.assert_allclose(
                mine[name].signal.second_moment,
                theirs[name].signal.second_moment,
                rtol=1e-5,
                atol=1e-6,
            )
            np.testing.assert_allclose(
                mine[name].gradient.total, theirs[name].gradient.total, rtol=1e-4, atol=1e-7
            )


def _said(result):
    return [line for line in result.report.warnings if LOST in line]


@pytest.mark.parametrize("shard", [WHOLE, Shard(2, 3)])
def test_workers_gather_what_one_process_gathers(shard):
    with ThreadPoolExecutor(3) as pool:
        _assert_same(_part(shard, pool), _part(shard))


def test_processes_of_our_own():
    alone = factorize(MODEL, DATA, **OPTIONS)
    shared = factorize(MODEL, DATA, workers=2, **OPTIONS)
    assert [x.rank for x in shared.report.layers] == [x.rank for x in alone.report.layers]
    found, wanted = (each.report.divergence["holdout"] for each in (shared, alone))
    assert found == pytest.approx(wanted, rel=1e-3)
    assert not _said(shared)


def test_a_worker_that_is_killed_changes_nothing(monkeypatch):
    monkeypatch.setattr(shared_out, "_Seen", Killing)
    shared = factorize(MODEL, DATA, workers=2, **OPTIONS)
    alone = factorize(MODEL, DATA, **OPTIONS)
    assert len(Killing.killed) == 1
    assert [x.rank for x in shared.report.layers] == [x.rank for x in alone.report.layers]
    assert len(_said(shared)) == 1


@pytest.mark.parametrize("living", [0, 1, 2])
def test_what_is_lost_is_gathered_here(living):
    found = factorize(MODEL, DATA, executor=Dead(living), workers=3, **OPTIONS)
    assert len(_said(found)) == 1
    assert found.report.divergence["holdout"] == pytest.approx(
        factorize(MODEL, DATA, **OPTIONS).report.divergence["holdout"], rel=1e-3
    )


@pytest.mark.parametrize("weighting", ["activation", "diagonal", "none"])
def test_every_weighting(weighting):
    with ThreadPoolExecutor(2) as pool:
        found = factorize(MODEL, DATA, executor=pool, weighting=weighting, **OPTIONS)
    alone = factorize(MODEL, DATA, weighting=weighting, **OPTIONS)
    assert [x.rank for x in found.report.layers] == [x.rank for x in alone.report.layers]


def test_a_sweep_from_files(tmp_path):
    onnx.save(MODEL, tmp_path / "m.onnx")
    for number, rows in enumerate(np.split(DATA["x"], 8)):
        np.savez(tmp_path / f"{number}.npz", x=rows)
    with ThreadPoolExecutor(2) as pool:
        found = sweep(
            tmp_path / "m.onnx", tmp_path, ["params=0.9", "params=0.7"], executor=pool, **OPTIONS
        )
    assert len(found) == 2


def test_errors_of_workers_are_errors():
    def refuse(piece):
        raise InputError(f"{piece} is wrong.")

    with ThreadPoolExecutor(2) as pool, pytest.raises(InputError, match="is wrong"):
        Workers(pool, 2).each(refuse, [1, 2])


def test_fewer_samples_than_workers():
    data = {"x": DATA["x"][:4]}
    with ThreadPoolExecutor(8) as pool:
        found = factorize(MODEL, data, executor=pool, holdout=0.25, **OPTIONS)
    assert found.report.layers


def test_the_command(tmp_path, monkeypatch, capsys):
    onnx.save(MODEL, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", **DATA)
    monkeypatch.chdir(tmp_path)
    common = ["calibrate", "m.onnx", "--calib", "d.npz", "--threads", "1"]
    asked = [*common, "--workers", "2", "-o", "two.npz"]
    assert main_of(asked, monkeypatch, capsys)[0] == 0
    assert main_of([*common, "-o", "one.npz"], monkeypatch, capsys)[0] == 0
    _assert_same(load("two.npz"), load("one.npz"))
    code, _, said = main_of([*common, "--workers", "-1", "-o", "x.npz"], monkeypatch, capsys)
    assert (code, "--workers must be at least 0" in said) == (1, True)
