"""Damaged models, data and images, and kills: one sentence each, or a whole result."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

import fuzzing
import numpy as np
import onnx
import pytest
from builders import BUNDLED, BUNDLED_DATA

FEW = {"model": 40, "data": 30, "image": 6}
MANY = {"model": 3000, "data": 2000, "image": 1000}


@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_a_few(kind):
    assert fuzzing.faults(kind, 0, FEW[kind]) == {}


@pytest.mark.long
@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_many(kind):
    assert fuzzing.faults(kind, 0, MANY[kind]) == {}


def _is_whole(folder: pathlib.Path) -> None:
    """What there is under its name is the older file or a whole model, with its own weights."""
    for name in ("s.onnx", "s.json"):
        path = folder / name
        if path.exists() and path.read_bytes() != b"older" and name == "s.onnx":
            onnx.checker.check_model(path, full_check=True)
    hidden = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert set(hidden) <= {"s.onnx", "s.onnx.data", "s.json", "m.onnx", "m.data"}


@pytest.mark.long
@pytest.mark.parametrize("external", [False, True])
def test_kills_at_random_moments(external, tmp_path):
    source = BUNDLED
    if external:
        source = tmp_path / "m.onnx"
        proto = onnx.load(BUNDLED)
        onnx.save(proto, source, save_as_external_data=True, location="m.data", size_threshold=0)
    command = [sys.executable, "-m", "onnx_factorize", str(source), "--calib", str(BUNDLED_DATA)]
    command += ["--samples", "32", "--threads", "1", "--weighting", "activation", "-q"]
    command += ["-o", str(tmp_path / "s.onnx"), "--report", str(tmp_path / "s.json")]
    start = time.monotonic()
    subprocess.run(command, check=True)
    takes = time.monotonic() - start
    rng = np.random.default_rng(0)
    for _ in range(50):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            time.sleep(float(rng.uniform(0, takes)))
            process.kill()
        _is_whole(tmp_path)
