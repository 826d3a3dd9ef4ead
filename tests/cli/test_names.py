"""Names and paths are printed as they are, whatever they hold."""

from __future__ import annotations

import numpy as np
import pytest
from builders import W_LARGE, model, normal
from click.testing import CliRunner

from onnx_factorize.cli.main import cli

NAMES = ["net[/a]", "layers[conv]"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model whose nodes and output have names that look like markup, and data for it."""
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        W_LARGE,
    )
    for node, name in zip((proto.graph.node[0], proto.graph.node[3]), NAMES, strict=True):
        node.name = name
    proto.graph.node[3].output[0] = proto.graph.output[0].name = "y[red]:smile:"
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "d.npz", x=normal(1, 64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "m.onnx"],
        ["m.onnx", "--calib", "d.npz", "--threads", "1", "-v", "-o", "out[red].onnx",
         "--report", "r[bold].json"],
    ],
)  # fmt: skip
def test_names_that_look_like_markup(arguments, folder):
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert all(name in done.output for name in [*NAMES, "y[red]:smile:"])
    if "-o" in arguments:
        assert "wrote out[red].onnx" in done.output
        assert "wrote r[bold].json" in done.output
        assert (folder / "out[red].onnx").exists()


def test_models_that_look_like_markup(folder):
    for name in ("a[b].onnx", "layers[red].onnx"):
        (folder / name).write_bytes((folder / "m.onnx").read_bytes())
    arguments = ["compare", "m.onnx", "a[b].onnx", "layers[red].onnx", "--calib", "d.npz"]
    done = CliRunner().invoke(cli, [*arguments, "--threads", "1"], catch_exceptions=False)
    assert "a[b].onnx" in done.output
    assert "layers[red].onnx" in done.output
