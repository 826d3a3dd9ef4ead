"""Two processes under torchrun train to what one does."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA

pytest.importorskip("torch")

ROOT = pathlib.Path(__file__).parent.parent.parent
OPTIONS = [
    *("--budget", "targets=0.1", "--weighting", "none", "--samples", "96", "--threads", "1"),
    *("--finetune", "--epochs", "2", "--lr", "1e-3", "-q"),
]


def _weights(launch, path, checkpoint):
    command = [*launch, "-m", "onnx_factorize", str(BUNDLED), "--calib", str(BUNDLED_DATA)]
    command += [*OPTIONS, "-o", str(path), "--checkpoint", str(checkpoint)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {n: v.const_value.numpy() for n, v in ir.load(path).graph.initializers.items()}


def test_two_processes_are_as_one(tmp_path):
    one = _weights([sys.executable], tmp_path / "one.onnx", tmp_path / "one.safetensors")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = _weights(launch, tmp_path / "two.onnx", tmp_path / "two.safetensors")
    assert one.keys() == two.keys()
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, atol=2e-4, err_msg=name)
    # The second process writes nothing.
    assert len(list(tmp_path.iterdir())) == 4
