"""Standard output of any encoding, and names that would steer a terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from builders import W_LARGE, model, normal
from commands import main_of

from onnx_factorize.cli.encoding import escaped

NAMES = ["\x1b[31mred\x1b]0;title\x07", "späte_层\u202egnp", "two\nlines"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        W_LARGE,
    )
    proto.graph.node[0].name, proto.graph.node[3].name, output = NAMES
    proto.graph.node[3].output[0] = proto.graph.output[0].name = output
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "d.npz", x=normal(1, 64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_escapes():
    assert escaped("späte_层 → [x]") == "späte_层 → [x]"
    assert escaped("\x1b[2J\x9b\t\n\u202e\udc80") == r"\x1b[2J\x9b\t\n\u202e\udc80"


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "m.onnx"],
        ["m.onnx", "--calib", "d.npz", "--threads", "1", "-v", "-o", "out\x1b[2J.onnx"],
        ["compare", "m.onnx", "m.onnx", "--calib", "d.npz", "--threads", "1"],
        ["gone\x1b[2J.onnx", "--calib", "d.npz"],
        ["--\x1b[2J"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_names_that_would_steer_a_terminal(arguments, folder, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")  # names are whole
    _, out, error = main_of(arguments, monkeypatch, capsys)
    assert not set("\x1b\x07\u202e") & set(out + error)
    if arguments[0] in ("inspect", "m.onnx"):
        assert r"\x1b[31mred\x1b]0;title\x07" in out
        assert r"späte_层\u202egnp" in out


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_the_whole_command_in_an_encoding(encoding, folder):
    """Tables hold lines and arrows, and names hold anything: all of it is printed somehow."""
    done = subprocess.run(
        [sys.executable, "-m", "onnx_factorize", "m.onnx", "--calib", "d.npz", "--threads", "1",
         "--weighting", "activation", "-v", "-o", "out.onnx"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    out = done.stdout.decode(encoding)
    assert "wrote out.onnx" in out
    assert " -> " in out or "→" in out
    assert r"_\u5c42" in out
