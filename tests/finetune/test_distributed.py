"""Two processes under torchrun train to what one does."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest
from builders import ROOT

pytest.importorskip("torch")

from onnx_factorize import factorize

OPTIONS = {"budget": "targets=0.5", "weighting": "none", "samples": 40, "threads": 1}
TRAINING = {"epochs": 2, "lr": 1e-3}


def _weights(model):
    return {n: v.const_value.numpy() for n, v in model.graph.initializers.items()}


def test_two_processes_are_as_one(mlp_path, mlp_data, tmp_path):
    found = factorize(mlp_path, mlp_data, **OPTIONS, finetune=True, **TRAINING)
    assert found.report.finetune["after"] < found.report.finetune["before"]
    one = _weights(found.model)
    folder = tmp_path / "two"
    folder.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "onnx_factorize", str(mlp_path), "--calib", str(mlp_data), "--finetune", "-q"]
    for name, value in {**OPTIONS, **TRAINING}.items():
        command += [f"--{name}", str(value)]
    command += ["-o", str(folder / "two.onnx"), "--checkpoint", str(folder / "two.safetensors")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    two = _weights(ir.load(folder / "two.onnx"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, atol=2e-4, err_msg=name)
    # The second process writes nothing.
    assert len(list(folder.iterdir())) == 2
