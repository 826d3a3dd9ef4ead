"""What is said of the data, and what the user says of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builders import model, normal
from click.testing import CliRunner

from onnx_factorize.cli.main import cli
from onnx_factorize.cli.option_fields import by_name
from onnx_factorize.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Sequences whose padding is marked by ones, each input with a batch symbol of its own."""
    text = """(int64[a, s] ids, int64[b, s] padding_mask) => (float[p, q, 8] y) {
        e = Gather (table, ids)
        f = Cast <to = 1> (padding_mask)
        g = Mul (f, big)
        bias = Unsqueeze (g, one)
        t = Transpose <perm = [0, 2, 1]> (e)
        s = MatMul (e, t)
        sb = Add (s, bias)
        p = Softmax <axis = -1> (sb)
        v = MatMul (p, e)
        [a] h = MatMul (v, w1)
        r = Relu (h)
        [b] y = MatMul (r, w2)
    }"""
    weights = {
        "table": normal(1, 50, 32) / 2,
        "w1": normal(2, 32, 48) / 6,
        "w2": normal(3, 48, 8) / 7,
        "big": np.float32(-1e9),
        "one": np.array([1]),
    }
    (tmp_path / "m.onnx").write_bytes(model(text, weights).SerializeToString())
    rng = np.random.default_rng(4)
    padded = np.arange(6) >= rng.integers(3, 6, 40)[:, None]
    ids = rng.integers(0, 50, (40, 6))
    np.savez(tmp_path / "d.npz", ids=ids, padding_mask=padded.astype(np.int64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments):
    command = ["--calib", "d.npz", "--threads", "1", "--weighting", "activation", *arguments]
    return CliRunner().invoke(cli, ["m.onnx", *command, "-o", "s.onnx", "--report", "r.json"])


def test_what_was_found_is_said_and_in_the_report(folder):
    done = _run()
    assert done.exit_code == 0
    assert "Numbers other than zero in 'padding_mask' are padding" in done.output
    assert "Rows of 'ids', 'padding_mask' give alone what they give together" in done.output
    report = json.loads((folder / "r.json").read_text())
    assert report["samples"] == {"calibration": 32, "holdout": 8}
    assert report["data"]["batch_axis"]["inputs"] == {"ids": 0, "padding_mask": 0}
    assert report["data"]["batch_axis"]["how"] == "found"
    found = report["data"]["mask"]
    assert (found["input"], found["means"], found["how"]) == ("padding_mask", "drop", "found")
    compared = CliRunner().invoke(cli, ["compare", "m.onnx", "s.onnx", "--calib", "d.npz"])
    assert "Numbers other than zero in 'padding_mask' are padding" in compared.output


def test_what_the_user_says_is_taken(folder):
    done = _run("--mask", "padding_mask=none", "--batch-axis", "ids=0")
    assert done.exit_code == 0
    assert "padding_mask' are" not in done.output
    data = json.loads((folder / "r.json").read_text())["data"]
    assert data["mask"]["input"] is None
    assert data["batch_axis"]["how"] == "given"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "padding_mask"], "is not of the form INPUT=MEANING"),
        (["--mask", "padding_mask=upside-down"], "use keep, drop or none"),
        (["--mask", "other=keep"], "names 'other'"),
        (["--batch-axis", "=0"], "is not of the form INPUT=AXIS"),
        (["--batch-axis", "ids=2"], "--batch-axis ids=2"),
        (["--batch-axis", "other=0"], "names 'other'"),
    ],
)
def test_one_sentence(folder, arguments, message):
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(cli, ["m.onnx", "--calib", "d.npz", *arguments], catch_exceptions=False)


def test_names_may_hold_equals_signs():
    assert by_name(("a=b=keep",), "mask", "INPUT=MEANING") == {"a=b": "keep"}
