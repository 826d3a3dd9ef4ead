"""`--config` and `report`: options from files, and pages of runs that are over."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from builders import W_LARGE, model, normal
from commands import main_of

MODEL = """(float[batch, 64] x) => (float[batch, 48] y) {
    [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2)
}"""
CONFIG = """
model = "m.onnx"
calib = "d.npz"
weighting = "activation"
max-time = 60
threads = 1
samples = 16
exclude = ["b"]
outputs = { y = "gaussian" }
dry-run = false
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(model(MODEL, W_LARGE).SerializeToString())
    np.savez(tmp_path / "d.npz", x=normal(1, 64, 64))
    (tmp_path / "run.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_typed_counts_more_and_a_report_makes_the_same_again(monkeypatch, capsys):
    typed = ["--config", "run.toml", "--samples", "32", "-q"]
    code, _, said = main_of([*typed, "-o", "1.onnx", "--report", "1.json"], monkeypatch, capsys)
    assert code == 0, said
    report = json.loads(pathlib.Path("1.json").read_text())
    assert report["command"]["selection"]["samples"] == 32
    assert report["command"]["outputs"] == {"y": "gaussian"}
    assert [layer["status"] for layer in report["layers"]] == ["factorized", "skipped"]
    assert report["config"]["exclude"] == ["b"]
    assert "quiet" not in report["config"]
    again = ["--config", "1.json", "-o", "2.onnx", "--report", "2.json", "-q"]
    code, _, said = main_of(again, monkeypatch, capsys)
    assert code == 0, said
    assert pathlib.Path("1.onnx").read_bytes() == pathlib.Path("2.onnx").read_bytes()
    # Nothing is written over what options came from.
    code, _, said = main_of(["--config", "1.json", "-o", "3.onnx"], monkeypatch, capsys)
    assert code == 1
    assert "1.json holds the options" in said


WRONG = {
    "key": ("budgt = 'params=0.5'", "'budgt', which is no option of compress: is it 'budget'?"),
    "strange key": ("zzz = 1", "'zzz', which is no option of compress: leave it out."),
    "flag": ("finetune = 'yes'", "'finetune' in bad.toml must be true or false."),
    "list": ("samples = [1, 2]", "'samples' in bad.toml must be one value"),
    "kind": ("samples = true", "'samples' in bad.toml must be a text or a number."),
    "date": ("exclude = [2020-01-01]", "'exclude' in bad.toml must be a text or a number."),
    "syntax": ("samples = [", "bad.toml is no TOML: "),
    "bytes": ("\xff", "bad.toml"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_said_in_a_sentence(name, monkeypatch, capsys):
    text, words = WRONG[name]
    pathlib.Path("bad.toml").write_text(text, encoding="latin-1")
    arguments = ["m.onnx", "--calib", "d.npz", "--config", "bad.toml"]
    code, _, said = main_of(arguments, monkeypatch, capsys)
    assert code == 1
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not pathlib.Path("m.factorized.onnx").exists()


@pytest.mark.parametrize("name", ["gone.toml", "d.npz", "plain.json"])
def test_files_that_hold_no_options_are_refused(name, monkeypatch, capsys):
    pathlib.Path("plain.json").write_text('{"schema": "other"}')
    code, _, said = main_of(["m.onnx", "--config", name], monkeypatch, capsys)
    assert code == 1
    assert said.startswith("onnx-factorize: ")
    assert name in said


def test_pages_are_drawn_of_reports(monkeypatch, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    names = ["s.0.75.json", "s.0.5.json"]
    sweep = ["--config", "run.toml", "--exclude", "z", "--sweep", "0.75,0.5", "--report", "s.json"]
    assert main_of([*sweep, "-o", "s.onnx", "-q"], monkeypatch, capsys)[0] == 0
    for reports, title in (([names[0]], "m.onnx, factorized"), (names, "m.onnx, a sweep")):
        code, out, _ = main_of(["report", *reports, "-o", "page.html"], monkeypatch, capsys)
        assert (code, out) == (0, "wrote page.html\n")
        assert f"<title>{title}</title>" in pathlib.Path("page.html").read_text()


@pytest.mark.parametrize(
    ("content", "output", "words"),
    [
        (None, "p.html", "r.json does not exist"),
        ("{}", "p.html", "r.json is no report"),
        ("{", "p.html", "r.json is no report"),
        ('{"schema": "onnx-factorize/report/1"}', "p.html", "r.json cannot be drawn"),
        ("{}", "p.pdf", "p.pdf is no page"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(content, output, words, monkeypatch, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    if content is not None:
        pathlib.Path("r.json").write_text(content)
    code, _, said = main_of(["report", "r.json", "-o", output], monkeypatch, capsys)
    assert code == 1
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not pathlib.Path(output).exists()
