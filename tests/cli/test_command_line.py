"""The contract of the command line: exit codes, reports, and one sentence for what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, W_LARGE, model, normal
from click.shell_completion import ShellComplete
from commands import main_of

from onnx_factorize.cli import main as cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model of two layers, data for it, and things that are wrong."""
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        W_LARGE,
    )
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "d.npz", x=normal(1, 64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _tree(folder: pathlib.Path) -> dict[str, str]:
    """Every file and folder, hidden ones too, with the digest of its contents."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def _refused(code, arguments, folder, monkeypatch, capsys, words=()):
    before = _tree(folder)
    found, _, error = main_of(arguments, monkeypatch, capsys)
    assert found == code, error
    assert _tree(folder) == before
    # Status lines of the stages before the failure may stand above, on a terminal only.
    sentences = error.strip().splitlines()
    assert len(sentences) == 1, error
    assert sentences[0].startswith("onnx-factorize: ")
    if code != 2:  # usage errors are click's own
        assert sentences[0].rstrip().endswith((".", "?")), error
    for word in words:
        assert word in sentences[0]


FAST = ["--calib", "d.npz", "--threads", "1", "--weighting", "activation"]


def _write(name, contents):
    return lambda: pathlib.Path(name).write_bytes(contents)


def _npz(**arrays):
    return lambda: np.savez("bad.npz", **arrays)


def _module(text):
    return lambda: pathlib.Path("bad_module.py").write_text(text)


def _nan():
    x = normal(1, 8, 64)
    x[3, 3] = np.nan
    np.savez("bad.npz", x=x)


def _truncated_model():
    pathlib.Path("bad.onnx").write_bytes(pathlib.Path("m.onnx").read_bytes()[:2000])


def _no_targets():
    proto = model("(float[b, 64] x) => (float[b, 64] y) { y = Relu (x) }")
    pathlib.Path("bad.onnx").write_bytes(proto.SerializeToString())


def _no_external():
    proto = onnx.load("m.onnx")
    onnx.save(proto, "bad.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    pathlib.Path("w.data").unlink()


def _unknown_operator():
    proto = model(
        "(float[b, 64] x) => (float[b, 48] y) { h = custom.Mystery (x) [a] y = MatMul (h, w) }",
        {"w": normal(1, 64, 48)},
    )
    pathlib.Path("bad.onnx").write_bytes(proto.SerializeToString())


def _truncated_npz():
    pathlib.Path("bad.npz").write_bytes(pathlib.Path("d.npz").read_bytes()[:5000])


def _empty_folder():
    pathlib.Path("empty").mkdir()


BAD = ["--calib", "bad.npz"]
CASES = {
    # the model
    "missing model": (1, None, ["gone.onnx", *FAST], ["gone.onnx does not exist"]),
    "missing model in missing folder": (
        1,
        None,
        ["no/m.onnx", *FAST],
        ["no/m.onnx does not exist"],
    ),
    "folder as model": (1, None, ["sub", *FAST], ["folder"]),
    "this folder as model": (1, None, [".", *FAST], []),
    "no name as model": (1, None, ["", *FAST], []),
    "text as model": (1, _write("bad.onnx", b"hello"), ["bad.onnx", *FAST], ["bad.onnx"]),
    "empty model": (1, _write("bad.onnx", b""), ["bad.onnx", *FAST], ["bad.onnx"]),
    "truncated model": (1, _truncated_model, ["bad.onnx", *FAST], ["bad.onnx", "complete"]),
    "no targets": (1, _no_targets, ["bad.onnx", *FAST], ["nothing to factorize"]),
    "missing weights": (1, _no_external, ["bad.onnx", *FAST], ["w.data", "does not exist"]),
    "unknown operator": (1, _unknown_operator, ["bad.onnx", *FAST], ["Mystery"]),
    "misspelt command": (1, None, ["inspct", "m.onnx"], ["'inspct'", "is it 'inspect'?"]),
    "neither": (1, None, ["frobnicate"], ["'frobnicate' is neither a command", "nor a file"]),
    "missing model, no data": (1, None, ["nonexist.onnx"], ["nonexist.onnx does not exist"]),
    # usage
    "unknown option": (2, None, ["m.onnx", *FAST, "--frobnicate"], ["--frobnicate"]),
    "no calib": (2, None, ["m.onnx"], ["--calib", "; see onnx-factorize compress --help."]),
    "unknown option of compare": (2, None, ["compare", "--x"], ["see onnx-factorize compare"]),
    "no number": (2, None, ["m.onnx", *FAST, "--samples", "many"], ["--samples"]),
    "two models": (2, None, ["m.onnx", "n.onnx", *FAST], ["n.onnx"]),
    "image layout": (2, None, ["m.onnx", *FAST, "--image-layout", "CHWN"], ["CHWN"]),
    # option values
    "weighting": (1, None, ["m.onnx", *FAST, "--weighting", "magic"], ["magic"]),
    "labels": (1, None, ["m.onnx", *FAST, "--labels", "some"], ["--labels", "some"]),
    "no labels": (
        1,
        None,
        ["m.onnx", *FAST, "--weighting", "diagonal", "--labels", "given"],
        ["'label'", "d.npz"],
    ),
    "draws": (1, None, ["m.onnx", *FAST, "--draws", "0"], ["--draws", "at least 1"]),
    "draws of labels": (
        1,
        None,
        ["m.onnx", *FAST, "--labels", "given", "--draws", "2"],
        ["--draws"],
    ),
    "ranks": (1, None, ["m.onnx", *FAST, "--ranks", "some"], ["some"]),
    "form": (1, None, ["m.onnx", *FAST, "--form", "diamond"], ["diamond"]),
    "regex": (1, None, ["m.onnx", *FAST, "--include", "a("], ["a("]),
    "all excluded": (1, None, ["m.onnx", *FAST, "--exclude", "."], ["excluded"]),
    "op type": (1, None, ["m.onnx", *FAST, "--op-type", "LSTM"], ["excluded"]),
    "holdout": (1, None, ["m.onnx", *FAST, "--holdout", "1"], ["--holdout"]),
    "samples": (1, None, ["m.onnx", *FAST, "--samples", "0"], ["--samples"]),
    "batch size": (1, None, ["m.onnx", *FAST, "--batch-size", "0"], ["--batch-size"]),
    "seed": (1, None, ["m.onnx", *FAST, "--seed", "-1"], ["--seed"]),
    "rank multiple": (1, None, ["m.onnx", *FAST, "--rank-multiple", "0"], ["--rank-multiple"]),
    "outputs form": (1, None, ["m.onnx", *FAST, "--outputs", "y"], ["NAME=KIND"]),
    "outputs kind": (1, None, ["m.onnx", *FAST, "--outputs", "y=poisson"], ["poisson"]),
    "outputs ignored": (1, None, ["m.onnx", *FAST, "--outputs", "y=ignore"], ["verified"]),
    "outputs name": (1, None, ["m.onnx", *FAST, "--outputs", "z=gaussian"], ["'z'"]),
    "provider": (1, None, ["m.onnx", *FAST, "--provider", "Abacus"], ["Abacus"]),
    "image mean": (1, None, ["m.onnx", *FAST, "--image-mean", "a,b"], ["--image-mean"]),
    "image size": (1, None, ["m.onnx", *FAST, "--image-size", "big"], ["--image-size"]),
    # budgets
    "budget form": (1, None, ["m.onnx", *FAST, "--budget", "half"], ["KIND=VALUE"]),
    "budget kind": (
        1,
        None,
        ["m.onnx", *FAST, "--budget", "joules=0.5"],
        ["joules"],
    ),
    "budget zero": (1, None, ["m.onnx", *FAST, "--budget", "params=0"], ["params=0"]),
    "budget negative": (1, None, ["m.onnx", *FAST, "--budget", "params=-1"], ["params=-1"]),
    "budget infeasible": (3, None, ["m.onnx", *FAST, "--budget", "params=0.001"], ["least"]),
    "bytes infeasible": (3, None, ["m.onnx", *FAST, "--budget", "bytes=1kB"], ["least"]),
    # calibration data
    "missing data": (1, None, ["m.onnx", "--calib", "gone"], ["gone does not exist"]),
    "empty folder": (1, _empty_folder, ["m.onnx", "--calib", "empty"], ["empty"]),
    "wrong name": (
        1,
        _npz(image=normal(1, 8, 64)),
        ["m.onnx", *BAD],
        ["'x'", "'image'", "bad.npz"],
    ),
    "wrong type": (1, _npz(x=np.zeros((8, 64), np.uint8)), ["m.onnx", *BAD], ["uint8", "float32"]),
    "wrong shape": (
        1,
        _npz(x=normal(1, 8, 63)),
        ["m.onnx", *BAD],
        ["63]", "bad.npz", "float32[batch, 64]"],
    ),
    "objects": (1, _npz(x=np.array([{}], object)), ["m.onnx", *BAD], ["objects"]),
    "no samples": (1, _npz(x=normal(1, 0, 64)), ["m.onnx", *BAD], ["0 samples"]),
    "nan": (1, _nan, ["m.onnx", *BAD], ["NaN", "'x'", "bad.npz"]),
    "infinite": (1, _npz(x=np.full((8, 64), np.inf, np.float32)), ["m.onnx", *BAD], ["finite"]),
    "truncated data": (1, _truncated_npz, ["m.onnx", *BAD], ["bad.npz"]),
    "text as data": (1, _write("bad.npz", b"hello"), ["m.onnx", *BAD], ["bad.npz"]),
    "file of another kind": (1, None, ["m.onnx", "--calib", "m.onnx"], [".npz"]),
    "no module": (1, None, ["m.onnx", "--calib", "no_such_module_here:f"], ["no_such_module_here"]),
    "callable raises": (
        1,
        _module("def f():\n    raise RuntimeError('disk on fire')"),
        ["m.onnx", "--calib", "bad_module:f"],
        ["disk on fire"],
    ),
    # outputs
    "no folder for output": (1, None, ["m.onnx", *FAST, "-o", "no/out.onnx"], ["no"]),
    "output is the model": (1, None, ["m.onnx", *FAST, "-o", "m.onnx"], ["dense model itself"]),
    "output is the model's link": (1, None, ["m.onnx", *FAST, "-o", "link.onnx"], ["itself"]),
    "output is a folder": (1, None, ["m.onnx", *FAST, "-o", "sub"], ["is a folder"]),
    "output is a missing folder": (1, None, ["m.onnx", *FAST, "-o", "some/"], ["some/", "folder"]),
    "no folder for report": (1, None, ["m.onnx", *FAST, "--report", "no/r.json"], ["no/r.json"]),
    "report of another kind": (1, None, ["m.onnx", *FAST, "--report", "r.pdf"], ["r.pdf"]),
    "report is the output": (
        1,
        None,
        ["m.onnx", *FAST, "-o", "r.json", "--report", "r.json"],
        ["r.json"],
    ),
    "report is the data": (1, None, ["m.onnx", *FAST, "--report", "sub"], ["sub"]),
    # the other commands
    "inspect missing": (1, None, ["inspect", "gone.onnx"], ["gone.onnx"]),
    "inspect text": (1, _write("bad.onnx", b"hello"), ["inspect", "bad.onnx"], ["bad.onnx"]),
    "compare missing": (1, None, ["compare", "m.onnx", "gone.onnx", "--calib", "d.npz"], ["gone"]),
    "compare others": (
        1,
        _no_targets,
        ["compare", "m.onnx", "bad.onnx", "--calib", "d.npz"],
        ["shape"],
    ),
    **{
        f"compare {option}": (
            1,
            None,
            ["compare", "m.onnx", "m.onnx", "--calib", "d.npz", option, value],
            [word],
        )
        for option, value, word in (
            ("--outputs", "y=poisson", "poisson"),
            ("--outputs", "y=ignore", "nothing could be verified"),
            ("--samples", "0", "--samples"),
            ("--batch-size", "0", "--batch-size"),
            ("--threads", "-1", "--threads"),
            ("--seed", "-1", "--seed"),
        )
    },
    "moments": (1, None, ["moments", "m.onnx", "--calib", "d.npz", "-o", "x"], ["'moments'"]),
    "merge": (1, None, ["merge", "a", "b", "-o", "x"], ["a cannot be read"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_inputs(case, folder, monkeypatch, capsys):
    code, prepare, arguments, words = CASES[case]
    (folder / "sub").mkdir()
    (folder / "link.onnx").symlink_to("m.onnx")
    if prepare:
        prepare()
    try:
        _refused(code, arguments, folder, monkeypatch, capsys, words)
    finally:
        sys.modules.pop("bad_module", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--svt", "soft"], ["--svt", "--finetune"]),
        (["--checkpoint", "run.safetensors"], ["--checkpoint", "--finetune"]),
        (["--epochs", "3"], ["--epochs", "--finetune"]),
        (["--epochs", "10"], ["--epochs", "--finetune"]),  # the default, but it was typed
        (["--hidden", "1"], ["--hidden", "--finetune"]),
        (["--lr", ".1"], ["--lr", "--finetune"]),
        (["--device", "cuda"], ["--device", "--finetune"]),
        (["--label-share", ".5"], ["--label-share", "--finetune"]),
        (["--augment", "a:b"], ["--augment", "--finetune"]),
        (["--finetune", "--checkpoint", "no/run.safetensors"], ["--checkpoint", "folder"]),
        (["--finetune", "--svt", "hard", "--epochs", "1"], ["--svt", "--epochs"]),
        (["--finetune", "--checkpoint", "r", "--sweep", "0.5,0.25"], ["--checkpoint", "--sweep"]),
    ],
)
def test_options_of_training_that_do_not_fit(options, words, folder, monkeypatch, capsys):
    _refused(1, ["m.onnx", *FAST, *options], folder, monkeypatch, capsys, words)


def test_unwritable_folder(folder, monkeypatch, capsys):
    (folder / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path).name != "locked")
    arguments = ["m.onnx", *FAST, "-o", "locked/out.onnx"]
    _refused(1, arguments, folder, monkeypatch, capsys, ["permission"])


@pytest.mark.parametrize("what", ["model", "report"])
@pytest.mark.parametrize("existing", [False, True])
def test_disk_full(what, existing, folder, monkeypatch, capsys):
    """Nothing new, and an older result stays as it was."""
    if existing:
        (folder / "out.onnx").write_bytes(b"older")
        (folder / "r.json").write_bytes(b"older")
    method = "write_bytes" if what == "model" else "write_text"

    def full(self, *_args, **_options):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, method, full)
    arguments = ["m.onnx", *FAST, "-o", "out.onnx", "--report", "r.json"]
    _refused(1, arguments, folder, monkeypatch, capsys, ["No space left on device"])


@pytest.mark.parametrize("existing", [False, True])
def test_disk_full_with_external_weights(existing, folder, monkeypatch, capsys):
    proto = onnx.load("m.onnx")
    onnx.save(proto, "e.onnx", save_as_external_data=True, location="e.data", size_threshold=0)
    if existing:
        (folder / "out.onnx").write_bytes(b"older")
        (folder / "out.onnx.data").write_bytes(b"older")

    def full(model, path, *_args, external_data, **_options):
        (pathlib.Path(path).parent / external_data).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ir, "save", full)
    arguments = ["e.onnx", *FAST, "-o", "out.onnx"]
    _refused(1, arguments, folder, monkeypatch, capsys, ["No space left on device"])


def test_the_weights_of_the_dense_model_are_not_overwritten(folder, monkeypatch, capsys):
    proto = onnx.load("m.onnx")
    onnx.save(
        proto, "e.onnx", save_as_external_data=True, location="out.onnx.data", size_threshold=0
    )
    arguments = ["e.onnx", *FAST, "-o", "out.onnx"]
    _refused(1, arguments, folder, monkeypatch, capsys, ["out.onnx.data", "weights of e.onnx"])


def test_interrupted(folder, monkeypatch, capsys):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("onnx_factorize.cli.compress.run", interrupt)
    _refused(130, ["m.onnx", *FAST], folder, monkeypatch, capsys, ["interrupted"])


# --- what works


def test_compress_is_the_default_command(folder, monkeypatch, capsys):
    code, out, error = main_of(["m.onnx", *FAST, "--report", "r.json"], monkeypatch, capsys)
    assert code == 0, error
    assert set(_tree(folder)) == {"m.onnx", "d.npz", "m.factorized.onnx", "r.json"}
    assert "m.factorized.onnx" in out
    assert "parameters" in out
    onnx.checker.check_model("m.factorized.onnx", full_check=True)
    report = json.loads((folder / "r.json").read_text())
    compressed = (folder / "m.factorized.onnx").read_bytes()
    assert report["model"]["compressed"]["sha256"] == hashlib.sha256(compressed).hexdigest()
    dense = (folder / "m.onnx").read_bytes()
    assert report["model"]["dense"]["sha256"] == hashlib.sha256(dense).hexdigest()
    assert report["schema"].startswith("onnx-factorize/report/")
    assert report["tool"]["name"] == "onnx-factorize"
    first = compressed
    code, _, _ = main_of(["compress", *FAST, "-q", "m.onnx"], monkeypatch, capsys)
    assert (folder / "m.factorized.onnx").read_bytes() == first


def test_quiet_prints_nothing(folder, monkeypatch, capsys):
    assert main_of(["-q", "m.onnx", *FAST, "-o", "out.onnx"], monkeypatch, capsys) == (0, "", "")


def test_best_effort(folder, monkeypatch, capsys):
    arguments = ["m.onnx", *FAST, "--budget", "params=0.001", "--best-effort", "-q", "-o", "o.onnx"]
    assert main_of(arguments, monkeypatch, capsys)[0] == 0
    assert (folder / "o.onnx").stat().st_size < (folder / "m.onnx").stat().st_size / 4


def test_inspect(folder, monkeypatch, capsys):
    code, out, _ = main_of(["inspect", "m.onnx"], monkeypatch, capsys)
    assert code == 0
    assert "MatMul" in out
    code, out, _ = main_of(["inspect", "m.onnx", "--json"], monkeypatch, capsys)
    found = json.loads(out)
    assert found["params"] == sum(v.size for v in W_LARGE.values())
    assert found["target_params"] == 64 * 96 + 96 * 48
    assert found["macs"] == 64 * 96 + 96 * 48
    assert [layer["name"] for layer in found["layers"]] == ["a", "b"]
    assert set(_tree(folder)) == {"m.onnx", "d.npz"}


def test_compare(folder, monkeypatch, capsys):
    main_of(["m.onnx", *FAST, "-o", "out.onnx", "-q"], monkeypatch, capsys)
    arguments = ["compare", "m.onnx", "out.onnx", "--calib", "d.npz", "--threads", "1"]
    code, out, _ = main_of(arguments, monkeypatch, capsys)
    assert code == 0
    assert "divergence" in out
    code, out, _ = main_of([*arguments, "--json"], monkeypatch, capsys)
    found = json.loads(out)
    assert found["divergence"] > 0
    assert found["agreement"]["samples"] == 64
    assert found["compressed"]["bytes"] == (folder / "out.onnx").stat().st_size
    assert found["dense"]["params"] > found["compressed"]["params"]


def test_compare_several(folder, monkeypatch, capsys):
    for budget in ("0.6", "0.4"):
        options = [*FAST, "--budget", f"params={budget}", "-o", f"s{budget}.onnx", "-q"]
        main_of(["m.onnx", *options], monkeypatch, capsys)
    files = ["s0.6.onnx", "s0.4.onnx", "m.onnx"]
    arguments = ["compare", "m.onnx", *files, "--calib", "d.npz", "--threads", "1"]
    code, out, _ = main_of(arguments, monkeypatch, capsys)
    assert code == 0
    assert all(file in out for file in files)
    code, out, _ = main_of([*arguments, "--json"], monkeypatch, capsys)
    found = json.loads(out)["models"]
    assert [model["compressed"]["file"] for model in found] == files
    sizes = [model["compressed"]["bytes"] for model in found]
    assert sizes == [(folder / file).stat().st_size for file in files]
    assert found[2]["divergence"] == 0 < found[0]["divergence"] < found[1]["divergence"]


@pytest.mark.parametrize("arguments", [["--help"], ["compress", "-h"], ["--version"]])
def test_help(arguments, monkeypatch, capsys):
    code, out, error = main_of(arguments, monkeypatch, capsys)
    assert (code, error) == (0, "")
    assert "onnx-factorize" in out


def test_no_arguments(monkeypatch, capsys):
    code, out, error = main_of([], monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert error.startswith("Usage: onnx-factorize")


# --- in a process of its own


def _process(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "onnx_factorize", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_of_its_own(folder):
    made = _process("m.onnx", *FAST, "--report", "r.json", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert json.loads((folder / "r.json").read_text())["peak_rss_mb"] > 10
    before = _tree(folder)
    for code, arguments in (
        (1, ["gone.onnx", *FAST]),
        (2, ["m.onnx", *FAST, "--frobnicate"]),
        (3, ["m.onnx", *FAST, "--budget", "params=0.001"]),
    ):
        refused = _process(*arguments, cwd=folder)
        assert refused.returncode == code
        assert len(refused.stderr.strip().splitlines()) == 1
        assert "Traceback" not in refused.stderr
        assert _tree(folder) == before


def test_the_bundled_model_from_anywhere(tmp_path):
    arguments = ["--calib", BUNDLED_DATA, "-o", tmp_path / "s.onnx", "--samples", 32, "-q"]
    made = _process(BUNDLED, *arguments, "--threads", 1, cwd=tmp_path)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert [file.name for file in tmp_path.iterdir()] == ["s.onnx"]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["in"], {("plain", "inspect"), ("file", "in")}),
        (["m.onnx", "--quan"], {("plain", "--quantize")}),
        (["compare", "m.onnx", "--calib", "d"], {("file", "d")}),
    ],
)
def test_a_shell_completes(typed, wanted):
    complete = ShellComplete(cli.cli, {}, "onnx-factorize", "_ONNX_FACTORIZE_COMPLETE")
    found = complete.get_completions(typed[:-1], typed[-1])
    assert {(item.type, item.value) for item in found} == wanted
