"""Times by a command: on one that takes the size of a file for the time of a model."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal
from commands import main_of

from onnx_factorize.errors import InputError
from onnx_factorize.options import RuntimeOptions
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.latency_cache import LatencyCache
from onnx_factorize.runtime.runtimes import runtime_of

TEXT = "(float[n, 64] x) => (float[n, 64] y) { y = MatMul (x, w) }"
SIZE = f"'{sys.executable}' -c 'import os, sys; print(\"ms:\", os.path.getsize(sys.argv[1]) / 1e4)'"


def _runtime(command, **given):
    return runtime_of(RuntimeOptions(measure=command, **given))


def _session(command, width=64):
    text = TEXT.replace("64] y", f"{width}] y")
    return _runtime(command).session(ir.from_proto(model(text, {"w": normal(1, 64, width)})))


def test_times_are_what_the_command_says():
    sessions = [_session(f"{SIZE} {{model}}", width) for width in (64, 128)]
    x = normal(2, 3, 64)
    found = latencies(sessions, {"x": x}, 0.0)
    small, large = found.medians
    assert 1.6 < small < 1.8  # 64 x 64 weights of 4 bytes, and a little
    assert 3.2 < large < 3.5
    assert found.ratio().quartiles[0] == pytest.approx(large / small)
    # Values are those of the runtime.
    y = sessions[0].run({"x": x})["y"]
    np.testing.assert_allclose(y, x @ normal(1, 64, 64), rtol=1e-4, atol=1e-4)


def test_a_command_that_reads_what_the_model_is_fed(tmp_path):
    code = 'import sys, numpy; print(numpy.load(sys.argv[1])["x"].shape[0])'
    session = _session(f"'{sys.executable}' -c '{code}' {{feeds}} {{model}}")
    assert latencies([session], {"x": normal(2, 7, 64)}, 0.0).medians == [pytest.approx(7.0)]


def test_it_is_run_a_few_times_for_a_model(tmp_path):
    log = tmp_path / "log"
    code = f'print(len(open("{log}", "a+").write("x") * "x"))'
    code = f'f = open("{log}", "a"); f.write("x"); print(f.tell())'
    session = _session(f"'{sys.executable}' -c '{code}' {{model}}")
    times = latencies([session], {"x": normal(2, 7, 64)}, 0.0, rounds=(8, 8)).times
    assert log.read_text() == "xxx"
    assert set(times.round(6).ravel()) == {1.0, 2.0, 3.0}


def test_what_was_measured_so_is_kept_apart(tmp_path):
    caches = [LatencyCache(_runtime(c), tmp_path) for c in ("a {model}", "b {model}", None)]
    assert len({cache.path for cache in caches}) == 3


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("bench model.onnx", r"does not say where the model goes: \{model\}"),
        ("bench '{model}", "is no command: No closing quotation"),
    ],
)
def test_commands_that_are_none(command, words):
    with pytest.raises(InputError, match=words):
        _runtime(command)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program {model}", "cannot be run: No such file"),
        (f"'{sys.executable}' -c 'import sys; sys.exit(\"bad board.\")' {{model}}", "bad board"),
        (f"'{sys.executable}' -c 'print(\"fast\")' {{model}}", "printed no milliseconds"),
        (f"'{sys.executable}' -c 'print(0)' {{model}}", "printed no milliseconds"),
    ],
)
def test_commands_that_fail(command, words):
    with pytest.raises(InputError, match=words):
        latencies([_session(command)], {"x": normal(2, 3, 64)}, 0.0)


def test_a_budget_of_time_is_bought_by_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small, report = tmp_path / "small.onnx", tmp_path / "report.json"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "-o", small, "--samples", "32"]
    arguments += ["--weighting", "activation", "--narrow", "off", "--rank-multiple", "64"]
    arguments += ["--budget", "latency=0.8", "--report", report, "--op-type", "Gemm"]
    arguments += ["--measure", f"{SIZE} {{model}}", "--best-effort"]
    code, _, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    measured = json.loads(report.read_text())["latency"]["measured"]
    assert measured == pytest.approx(small.stat().st_size / BUNDLED.stat().st_size, rel=0.03)
