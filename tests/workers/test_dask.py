"""A Dask cluster on this machine, one worker of which is killed."""

from __future__ import annotations

import os
import signal
import time

import pytest
from builders import W_LARGE, model, normal

from onnx_factorize import InputError, factorize
from onnx_factorize.workers import dask, shared_out
from onnx_factorize.workers.shared_out import _Seen

TEXT = """(float[batch, 64] x) => (float[batch, 48] y) {
    [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] z = MatMul (r, w2) y = Softmax (z)
}"""
MODEL, DATA = model(TEXT, W_LARGE), {"x": normal(1, 96, 64)}
OPTIONS = {"threads": 1, "prefer": "size"}


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    made = distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None)
    with made, distributed.Client(made) as client:
        yield made, client


def _same(one, other):
    assert [each.rank for each in one.report.layers] == [each.rank for each in other.report.layers]
    found, wanted = (each.report.divergence["holdout"] for each in (one, other))
    assert found == pytest.approx(wanted, rel=1e-3)


def test_one_of_three_workers_is_killed(cluster, monkeypatch):
    made, client = cluster
    pids = client.run(os.getpid).values()
    killed = []

    class Killing(_Seen):
        """Kills a worker that has begun a piece."""

        def look(self):
            while not killed and not self.attempts:
                time.sleep(0.001)
            if not killed:
                killed.append(self.attempts[0])
                assert killed[0] in pids
                os.kill(killed[0], signal.SIGKILL)
            super().look()

    monkeypatch.setattr(shared_out, "_Seen", Killing)
    found = factorize(MODEL, DATA, scheduler=made.scheduler_address, **OPTIONS)
    assert killed
    _same(found, factorize(MODEL, DATA, **OPTIONS))
    assert sum("A worker was lost" in line for line in found.report.warnings) == 1


def test_its_executor_will_do(cluster):
    _, client = cluster
    found = factorize(MODEL, DATA, executor=client.get_executor(), workers=2, **OPTIONS)
    _same(found, factorize(MODEL, DATA, **OPTIONS))


def test_nobody_answers(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask, "_TIMEOUT", 0.5)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1 does not answer"):
        factorize(MODEL, DATA, scheduler="tcp://127.0.0.1:1", **OPTIONS)


def test_without_the_library(monkeypatch):
    monkeypatch.setattr(dask.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"onnx-factorize\[dask\]"):
        factorize(MODEL, DATA, scheduler="tcp://127.0.0.1:1", **OPTIONS)
