"""Nothing that a run reads is written over, by whatever name or link; and modes are kept."""

from __future__ import annotations

import os
import pathlib
import stat

import numpy as np
import onnx
import pytest
from builders import W_LARGE, model, normal
from commands import main_of

FAST = ["--calib", "data", "--threads", "1", "--weighting", "activation"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model with external weights, data in a folder, and links to each."""
    monkeypatch.chdir(tmp_path)
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        W_LARGE,
    )
    onnx.save(proto, "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    pathlib.Path("data").mkdir()
    np.savez("data/d.npz", x=normal(1, 64, 64))
    for name in ("m.onnx", "w.bin", "data/d.npz"):
        stem = pathlib.Path(name).name.replace(".", "_")
        pathlib.Path(f"{stem}_soft.json").symlink_to(name)
        os.link(name, f"{stem}_hard.json")
    os.mkfifo("fifo.json")
    pathlib.Path("device.json").symlink_to(os.devnull)
    return tmp_path


def _files():
    return {
        path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in pathlib.Path().rglob("*")
    }


READ = ["m.onnx", "w.bin", "data/d.npz"]
READ += [
    f"{stem}_{kind}.json" for stem in ("m_onnx", "w_bin", "d_npz") for kind in ("soft", "hard")
]
NO_FILE = ["fifo.json", "device.json", "data"]
REPORTS = [name for name in (*READ, *NO_FILE) if name.endswith(".json")]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["-o", name] for name in (*READ, *NO_FILE)),
        *(["--report", name] for name in REPORTS),
        *(["--finetune", "--checkpoint", name] for name in (*READ, *NO_FILE)),
        ["--sweep", "0.5,0.9", "--report", "w_bin.json"],
        ["--sweep", "0.5,0.9", "-o", "x.json"],
        ["--sweep", "0.5,0.5000001"],
        ["-o", "a.json", "--report", "./a.json"],
        ["--report", "a.json", "--report", "b/../a.json"],
        ["--finetune", "--checkpoint", "s.onnx", "-o", "s.onnx"],
        ["--finetune", "--svt", "hard", "--checkpoint", "s", "-o", "s.plan.safetensors"],
        ["--finetune", "--checkpoint", "s.onnx.data", "-o", "s.onnx"],
    ],
    ids=" ".join,
)
def test_what_must_not_be_written(arguments, folder, monkeypatch, capsys):
    pathlib.Path("b").mkdir()
    os.link("w.bin", "w_bin.0.9.json")
    pathlib.Path("x.0.9.json").symlink_to("data/d.npz")
    before = _files()
    monkeypatch.setattr("onnx_factorize.cli.compress.run", pytest.fail)
    monkeypatch.setattr("onnx_factorize.cli.compress.run_sweep", pytest.fail)
    code, _, error = main_of(["m.onnx", *FAST, *arguments], monkeypatch, capsys)
    assert code == 1
    assert len(error.strip().splitlines()) == 1
    assert _files() == before


def test_what_lies_among_the_data_but_is_none(folder, monkeypatch, capsys):
    for name in ("data/s.onnx", "data/r.json"):
        pathlib.Path(name).write_text("older")
    arguments = ["m.onnx", *FAST, "-o", "data/s.onnx", "--report", "data/r.json"]
    code, _, error = main_of(arguments, monkeypatch, capsys)
    assert (code, "Traceback" in error) == (0, False)
    assert pathlib.Path("data/s.onnx").stat().st_size > 100


def test_modes_are_kept(folder, monkeypatch, capsys):
    for name in ("s.onnx", "s.onnx.data", "r.json"):
        pathlib.Path(name).write_text("older")
        pathlib.Path(name).chmod(0o640)
    arguments = ["m.onnx", *FAST, "-o", "s.onnx", "--report", "r.json"]
    assert main_of(arguments, monkeypatch, capsys)[0] == 0
    for name in ("s.onnx", "s.onnx.data", "r.json"):
        assert stat.S_IMODE(pathlib.Path(name).stat().st_mode) == 0o640
        assert pathlib.Path(name).read_bytes() != b"older"
