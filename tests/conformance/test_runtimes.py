"""What holds for every runtime that is registered, and how another is added."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, ROOT, model, normal
from commands import main_of

from onnx_factorize.errors import InputError
from onnx_factorize.options import RuntimeOptions
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.latency_cache import LatencyCache
from onnx_factorize.runtime.runtimes import registry, runtime_names, runtime_of

TEXT = "(float[n, 4] x) => (float[n, 3] y) { h = MatMul (x, w) y = Relu (h) }"
WEIGHTS = {"w": normal(1, 4, 3)}


def _named(name, **given):
    if name == "openvino":
        pytest.importorskip("openvino")
    return runtime_of(RuntimeOptions(runtime=name, **given))


@pytest.mark.parametrize("name", runtime_names())
def test_it_computes_what_is_asked(name):
    x = normal(2, 5, 4)
    graph = ir.from_proto(model(TEXT, WEIGHTS))
    session = _named(name, threads=1).session(graph, ["h", "y"])
    found = session.run({"x": x})
    np.testing.assert_allclose(found["h"], x @ WEIGHTS["w"], rtol=1e-5)
    np.testing.assert_allclose(found["y"], np.maximum(found["h"], 0))
    assert session.as_written.outputs == ["y"]
    assert [value.name for value in graph.graph.outputs] == ["y"]


@pytest.mark.parametrize("name", runtime_names())
def test_what_it_cannot_do_is_a_sentence(name):
    runtime = _named(name)
    with pytest.raises(InputError, match=f"{name} cannot load the model"):
        runtime.session(ir.from_proto(model("(float[2] x) => (float[2] y) { y = no.Such (x) }")))
    session = runtime.session(ir.from_proto(model(TEXT, WEIGHTS)))
    with pytest.raises(InputError, match="cannot be run on somewhere"):
        session.run({"x": normal(3, 2, 9)}, "somewhere")


@pytest.mark.parametrize("name", runtime_names())
def test_results_are_verified_in_it(name):
    runtime, x = _named(name, threads=1), normal(2, 5, 4)
    graph = ir.from_proto(model(TEXT, WEIGHTS))
    session = runtime.deployed.session(graph, ["y", "h"])
    np.testing.assert_allclose(session.run({"x": x})["h"], x @ WEIGHTS["w"], rtol=1e-5)
    assert session.runtime.name == runtime.name
    unknown = ir.from_proto(model("(float[2] x) => (float[2] y) { y = no.Such (x) }"))
    with pytest.raises(InputError, match=f"{name} cannot load the model"):
        runtime.deployed.session(unknown)
    with pytest.raises(InputError, match="cannot be run on somewhere"):
        session.run({"x": normal(3, 2, 9)}, "somewhere")


@pytest.mark.parametrize("name", runtime_names())
def test_it_is_timed_and_says_under_which_conditions(name, tmp_path):
    runtime = _named(name, threads=1)
    session = runtime.session(ir.from_proto(model(TEXT, WEIGHTS)))
    assert latencies([session], {"x": normal(4, 2, 4)}, 0.0).least[0] > 0
    cache = LatencyCache(runtime, tmp_path)
    assert cache.conditions["runtime"] == name
    assert cache.conditions["version"] == runtime.version
    assert cache.conditions["threads"] == 1


@pytest.fixture
def toy(monkeypatch):
    """The example of the page on how to extend, run as it stands there."""
    monkeypatch.setattr(registry, "_RUNTIMES", dict(registry._RUNTIMES))
    text = (ROOT / "docs" / "development" / "extending.md").read_text(encoding="utf-8")
    section = text.partition("## A runtime\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(code.splitlines()) <= 40
    names = {"__name__": __name__}
    exec(compile(code, "extending.md", "exec"), names)
    return names["Toy"]


def test_the_command_uses_the_example(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    report = tmp_path / "report.json"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "-o", tmp_path / "small.onnx", "--threads", 1]
    arguments += ["--runtime", "toy", "--budget", "latency=0.95", "--weighting", "activation"]
    arguments += ["--samples", 32, "--best-effort", "--report", report, "--rank-multiple", 32]
    code, _, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    assert len(toy.runs) > 10
    assert json.loads(report.read_text())["command"]["runtime"]["runtime"] == "toy"
    (kept,) = (tmp_path / "onnx-factorize").glob("latencies-*.json")
    assert json.loads(kept.read_text())["conditions"]["runtime"] == "toy"


def test_openvino_times_and_verifies(tmp_path, monkeypatch, capsys):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    report = tmp_path / "report.json"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "-o", tmp_path / "small.onnx", "--threads", 1]
    arguments += ["--runtime", "openvino", "--budget", "targets=0.7", "--weighting", "activation"]
    arguments += ["--samples", 32, "--report", report, "--narrow", "off"]
    loaded = []
    kind = type(_named("openvino").deployed)
    load = kind.load
    monkeypatch.setattr(kind, "load", lambda self, m: loaded.append(m) or load(self, m))
    code, _, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    # Early, to be verified, and to be timed.
    assert len(loaded) >= 5
    found = json.loads(report.read_text())
    assert found["command"]["runtime"]["runtime"] == "openvino"
    assert found["divergence"]["holdout"] > 0


def test_devices_and_libraries_that_openvino_has_not():
    pytest.importorskip("openvino")
    with pytest.raises(InputError, match="OpenVINO has no device 'TPU' here, but CPU"):
        _named("openvino", provider="TPU")
    with pytest.raises(InputError, match="OpenVINO loads none"):
        _named("openvino", custom_ops=("x.so",))


def test_openvino_that_is_not_installed_is_a_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs OpenVINO: python -m pip install"):
        runtime_of(RuntimeOptions(runtime="openvino"))


def test_names_are_unique_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="runtime 'onnxruntime' already"):
        registry.register(type("Other", (type(_named("onnxruntime")),), {}))
    with pytest.raises(InputError, match=r"no runtime 'abacus'; use one of .*onnxruntime"):
        _named("abacus")
