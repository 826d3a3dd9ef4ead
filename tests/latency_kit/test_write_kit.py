"""A kit holds what this machine would time, and no weight of the user's; its program runs alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from builders import BUNDLED, BUNDLED_DATA, model
from commands import main_of

from onnx_factorize import InputError, Options, Progress, factorize
from onnx_factorize.latency_kit import write_kit
from onnx_factorize.latency_kit.random_weights import RandomWeights
from onnx_factorize.runtime import this_machine

QUICK = ["--seconds", "0.001", "--whole-seconds", "0.001"]


def made(folder, model=BUNDLED, calibration=BUNDLED_DATA, **more):
    options = Options.of(threads=1, samples=64)
    return write_kit(model, folder, options, Progress(), calibration, **more)


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def run_py(folder, *more):
    """Runs the kit's program as a device would: nothing of this package is to be found there."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-I", str(folder / "run.py"), *QUICK, *more],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment,
    )


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit") / "kit"
    made(folder, with_dense=True)
    return folder


def test_all_models_run_and_files_are_as_listed(kit):
    manifest = manifest_of(kit)
    listed = manifest["files"]
    assert set(listed) | {"manifest.json"} == {path.name for path in kit.iterdir()}
    for name, digest in listed.items():
        assert hashlib.sha256((kit / name).read_bytes()).hexdigest() == digest
    for family in manifest["families"]:
        assert len(family["files"]) == 1 + len(family["sizes"])
        (spec, *_) = family["inputs"]
        for name in family["files"]:
            onnx.checker.check_model(str(kit / name), full_check=True)
            session = ort.InferenceSession(str(kit / name), providers=["CPUExecutionProvider"])
            (output, *_) = session.run(None, {spec["name"]: np.ones(spec["shape"], spec["dtype"])})
            assert np.isfinite(output).all()
            opset = onnx.load(kit / name, load_external_data=False).opset_import[0].version
            assert opset == manifest["opset"]


def test_it_holds_what_this_machine_times(kit, monkeypatch):
    """The models that a budget of time has timed here are in the kit, operator by operator."""
    timed = []

    def timer(models, feeds, _, others):
        timed.append([_shapes(model) for model in models])
        return [1.0] * len(models)

    monkeypatch.setattr(this_machine, "time_fed", timer)
    monkeypatch.setattr("onnx_factorize.runtime.latency_cache.LatencyCache.get", lambda *_: None)
    monkeypatch.setattr("onnx_factorize.runtime.latency_cache.LatencyCache.save", lambda _: None)
    asked = {"samples": 32, "threads": 1, "factors": "auto", "best_effort": True}
    factorize(BUNDLED, BUNDLED_DATA, budget="latency=0.7", **asked)
    held = [
        [_shapes(ir.load(kit / name)) for name in family["files"]]
        for family in manifest_of(kit)["families"]
    ]
    assert len(timed) > 10
    assert all(models in held for models in timed)


def _shapes(model):
    """What is timed of a model: its operators, and the shapes of what they read."""
    nodes = [(node.op_type, sorted(node.attributes)) for node in model.graph]
    weights = [tuple(v.const_value.shape.numpy()) for v in model.graph.initializers.values()]
    return nodes, sorted(weights), [str(value.shape) for value in model.graph.inputs]


def test_no_weight_of_the_users_is_in_it(tmp_path):
    made(tmp_path / "kit")
    dense = ir.load(BUNDLED)
    weights = [v.const_value for v in dense.graph.initializers.values()]
    large = [tensor.numpy().tobytes()[:256] for tensor in weights if tensor.nbytes >= 4096]
    assert len(large) > 3
    for path in (tmp_path / "kit").iterdir():
        contents = path.read_bytes()
        assert not any(weight in contents for weight in large)


def test_weights_of_one_model_do_not_overlap(tmp_path):
    weights = RandomWeights(tmp_path)
    text = "(float[1, 64] x) => (float[1, 64] y) { h = MatMul (x, a)\n y = MatMul (h, b) }"
    two = model(text, {"a": np.ones((64, 64), np.float32), "b": np.ones((64, 64), np.float32)})
    lent = weights.lend(ir.from_proto(two))
    first, second = (value.const_value for value in lent.graph.initializers.values())
    assert second.offset >= first.offset + first.length
    assert weights.write() == ["weights.float.bin"]
    assert (tmp_path / "weights.float.bin").stat().st_size >= second.offset + second.length
    assert np.std(first.numpy()) == pytest.approx(1 / 16, rel=0.1)
    assert not np.array_equal(first.numpy(), second.numpy())


def test_zeros_stand_in_for_data(tmp_path):
    assert made(tmp_path / "zeros", calibration=None).families > 10
    assert manifest_of(tmp_path / "zeros")["shapes"] == {"image": [1, 1, 28, 28]}


def test_its_program_runs_alone(kit, tmp_path):
    done = run_py(kit, "-o", str(tmp_path / "results.json"), "--device", "a board")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    names = {name for family in manifest_of(kit)["families"] for name in family["files"]}
    assert set(results["entries"]) == names
    for entry in (*results["entries"].values(), results["empty"], *results["whole"]):
        assert 0 < entry["min"] <= entry["p10"] <= entry["p50"] <= entry["p90"]
        assert entry["rounds"] >= 5
    assert results["conditions"]["device"] == "a board"
    assert results["conditions"]["threads"] == 1
    assert len(results["whole"]) == 1


def test_what_cannot_run_there_is_an_error_of_its_own(tmp_path):
    made(tmp_path / "kit")
    kit = tmp_path / "kit"
    manifest = manifest_of(kit)
    broken = next(f["files"][1] for f in manifest["families"] if f["sizes"])
    model = onnx.load(kit / broken, load_external_data=False)
    model.graph.node[0].op_type = "NoSuchOperator"
    (kit / broken).write_bytes(model.SerializeToString())
    refused = run_py(kit)
    assert refused.returncode == 1
    assert refused.stderr == f"run.py: the kit is damaged, copy it again: {broken}\n"
    manifest["files"][broken] = hashlib.sha256((kit / broken).read_bytes()).hexdigest()
    (kit / "manifest.json").write_text(json.dumps(manifest))
    assert run_py(kit).returncode == 0
    results = json.loads((kit / "results.json").read_text())
    assert "NoSuchOperator" in results["entries"][broken]["error"]
    assert sum("error" in entry for entry in results["entries"].values()) == 1
    assert results["whole"] == []  # no dense model was given


def test_the_dense_model_may_come_from_elsewhere(tmp_path, mlp_path):
    made(tmp_path / "kit")
    kit = tmp_path / "kit"
    assert run_py(kit, "--dense", str(BUNDLED)).returncode == 0
    assert len(json.loads((kit / "results.json").read_text())["whole"]) == 1
    other = run_py(kit, "--dense", str(mlp_path))
    assert other.returncode == 1
    assert other.stderr.endswith("--dense is not the model that the kit was made from.\n")


def test_times_of_other_tools_are_collected(kit, tmp_path):
    names = [name for family in manifest_of(kit)["families"] for name in family["files"]]
    for name in (*names[1:], "empty.onnx", "dense.onnx"):
        runs = [{"startMs": 0, "computeMs": time} for time in (3.0, 1.0, 2.0)]
        (tmp_path / f"{name}.json").write_text(json.dumps(runs))
        text = "Average inference time cost total: 2.5 ms\nP50 Latency: 0.002 s\n"
        (tmp_path / f"{name}.log").write_text(f"Setting up\n{text}")
    for tool, runtime in (("trtexec", "TensorRT"), ("perf_test", "onnxruntime")):
        path = tmp_path / f"{tool}.results"
        script = [sys.executable, "-I", str(kit / "collect.py"), tool, str(tmp_path)]
        subprocess.run([*script, "-o", str(path)], check=True, capture_output=True)
        results = json.loads(path.read_text())
        assert "error" in results["entries"][names[0]]
        assert results["entries"][names[1]]["p50"] == 2.0
        assert results["whole"][0]["p50"] == 2.0
        assert results["conditions"]["runtime"] == runtime


def test_the_command_line(tmp_path, capsys, monkeypatch):
    argv = ["latency-kit", str(BUNDLED), "-o", str(tmp_path / "kit"), "--threads", "1", "-q"]
    assert main_of(argv, monkeypatch, capsys) == (0, "", "")
    assert (tmp_path / "kit" / "run.py").exists()
    said = f"onnx-factorize: {tmp_path}/kit is not empty; give a new folder.\n"
    assert main_of(argv, monkeypatch, capsys) == (1, "", said)
    argv[3] = str(tmp_path / "no" / "kit")
    code, _, said = main_of(argv, monkeypatch, capsys)
    assert code == 1
    assert "there is no folder" in said


def test_what_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise InputError("no.")

    monkeypatch.setattr("onnx_factorize.latency_kit.build._record", fail)
    with pytest.raises(InputError, match=r"^no\.$"):
        made(tmp_path / "kit")
    assert not list(tmp_path.iterdir())
