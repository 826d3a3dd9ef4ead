"""What tables and lines look like, in files and on narrow terminals."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA, W_LARGE, model, normal
from click.testing import CliRunner
from genai_models import genai_model
from rich.console import Console

from onnx_factorize.cli.console import say
from onnx_factorize.cli.main import cli

NAME = "/layer.0/output/fc/MatMul"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model whose first node has an ordinary long name, and labelled data for it."""
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) "
        "{ h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) z = MatMul (r, w2) y = Softmax (z) }",
        W_LARGE,
    )
    proto.graph.node[0].name = NAME
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "d.npz", x=normal(1, 64, 64), label=np.arange(64) % 48)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _out(*arguments):
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_inspect_shows_full_ranks_alone_and_no_empty_columns():
    out = _out("inspect", str(BUNDLED))
    assert "full rank" in out
    assert "dense/" not in out
    assert "loss" not in out.partition("factorizable")[0]


def test_inspect_suggests_only_budgets_that_can_be_met(folder):
    text = "(float[b, 8] x) => (float[b, 8] y) { h = MatMul (x, w) y = Add (h, k) }"
    for name, height, met in (("some", 8, ["0.9", "0.75"]), ("none", 100, [])):
        proto = model(text, {"w": normal(1, 8, 8), "k": normal(2, height, 8)})
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())
        out = _out("inspect", f"{name}.onnx")
        assert out.count("cannot be met") == 4 - len(met)
        assert ("--sweep" in out) == bool(met)
        assert f"--sweep {','.join(met)} --dry-run" in out or not met


def test_inspect_shows_the_caches_of_a_decoder_in_one_line(folder):
    (folder / "m.onnx").write_bytes(genai_model().SerializeToString())
    lines = _out("inspect", "m.onnx").splitlines()
    shape = "float32[batch_size, 2, past_sequence_length, 16]"
    assert [line for line in lines if line.startswith(("input", "output"))] == [
        "input   input_ids: int64[batch_size, sequence_length]",
        "input   attention_mask: int64[batch_size, total_sequence_length]",
        f"input   past_key_values.0.key … 4 caches: {shape}",
        "output  logits: categorical",
        "output  present.0.key … 4 caches: ignore",
    ]
    counted = next(line for line in lines if "counted on zeros" in line)
    assert counted.endswith(
        "attention_mask [1, 64], past_key_values.0.key … 4 caches [1, 2, 0, 16]"
    )
    stay = [line for line in lines if "of the kind)" in line]
    assert len(stay) == 2
    assert "SkipSimplifiedLayerNormalization 'm0'" in stay[1]
    assert stay[1].endswith("is not known to treat them one by one (and 3 more of the kind)")
    found = json.loads(_out("inspect", "m.onnx", "--json"))
    assert len(found["inputs"]) == 6
    assert len(found["caches"]) == 8


def test_ordinary_names_fit_in_80_columns(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert f" {NAME} " in _out("inspect", "m.onnx")


def test_narrow_terminals_cut_no_figures_off(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = _out("m.onnx", "--calib", "d.npz", "--threads", "1", "-v", "--dry-run").splitlines()
    heading = next(line for line in lines if "operator" in line)
    assert heading.rstrip().endswith(" loss")
    row = next(line for line in lines if "→" in line).split()
    assert float(row[-1]) > 0
    assert len(heading) <= 80


def test_figures_say_on_how_many_samples(folder):
    common = ["--calib", "d.npz", "--threads", "1"]
    out = _out("m.onnx", *common, "-o", "s.onnx", "--report", "r.json")
    assert "n=13 samples" in out
    assert "accuracy, held out" in out
    assert "wrote r.json" in out
    out = _out("compare", "m.onnx", "s.onnx", *common)
    assert "n=64 samples" in out
    assert "accuracy" in out
    assert "held out" not in out
    assert out.count("n=64") == _out("compare", "m.onnx", "s.onnx", "m.onnx", *common).count("n=64")


@pytest.mark.parametrize("weighting", ["fisher", "activation"])
def test_losses_say_their_unit(folder, weighting):
    common = ["--calib", "d.npz", "--threads", "1", "--prefer", "size", "--dry-run"]
    out = _out("m.onnx", *common, "--weighting", weighting)
    assert ("loss: nats a prediction" in out) == (weighting == "fisher")
    assert ("loss: relative" in out) == (weighting == "activation")


def test_a_sweep_names_all_that_it_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["--calib", str(BUNDLED_DATA), "--samples", "64", "--threads", "1"]
    out = _out(
        str(BUNDLED), *common, "-o", "s.onnx", "--weighting", "activation",
        "--sweep", "0.6,0.3", "--report", "r.json",
    )  # fmt: skip
    written = [line.removeprefix("wrote ") for line in out.splitlines() if line.startswith("wrote")]
    assert written == ["s.0.6.onnx", "r.0.6.json", "s.0.3.onnx", "r.0.3.json"]
    assert sorted(written) == sorted(path.name for path in tmp_path.iterdir())


def test_lines_in_files_are_not_folded():
    out = io.StringIO()
    say(Console(file=out, width=20), ("warning:", "yellow"), " word" * 20)
    assert len(out.getvalue().splitlines()) == 1


def test_compare_of_several_says_what_enters_a_selection_and_how_streams_do(folder):
    text = """(float[N, T, 8] x, float[N, 8] h) => (float[N, 8] hn, int64[N, T] best) {
        u = MatMul (x, w)
        best = ArgMax <axis = 2, keepdims = 0> (u)
        v = MatMul (h, w)
        m = ReduceMean <axes = [1], keepdims = 0> (u)
        s = Add (v, m)
        hn = Tanh (s)
    }"""
    proto = model(text, {"w": normal(1, 8, 8)}, opset=17)
    for name in ("a.onnx", "b.onnx"):
        (folder / name).write_bytes(proto.SerializeToString())
    np.savez(folder / "s.npz", x=normal(2, 24, 3, 8), h=np.zeros((24, 8), np.float32))
    options = ["--calib", "s.npz", "--state", "h=hn", "--threads", "1"]
    out = _out("compare", "a.onnx", "b.onnx", "b.onnx", *options)
    assert out.count("along the stream (hn to h: --state)") == 2
    assert out.count("judged by what enters it (u)") == 1
