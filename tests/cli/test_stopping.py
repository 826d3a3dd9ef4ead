"""What is said, and what is left, where a command stops early."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.cli import main as cli
from onnx_factorize.pipeline import Result

FAST = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "64", "--threads", "1"]
FAST += ["--weighting", "activation"]


def _stopped(monkeypatch, capsys, *arguments):
    """The exit code, and the last line of stderr."""
    monkeypatch.setattr(sys, "argv", ["onnx-factorize", *FAST, *arguments])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code, capsys.readouterr().err.strip().splitlines()[-1]


def test_an_interrupted_sweep_names_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save = Result.save

    def second(self, path, reports=()):
        if pathlib.Path("s.0.9.onnx").exists():
            raise KeyboardInterrupt
        save(self, path, reports)

    monkeypatch.setattr(Result, "save", second)
    said = _stopped(monkeypatch, capsys, "-o", "s.onnx", "--sweep", "0.9,0.5")
    assert said == (130, "onnx-factorize: interrupted; s.0.9.onnx was written.")


@pytest.mark.parametrize("due", [False, True])
def test_an_interrupted_training_names_its_checkpoint(due, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def interrupted(*_args):
        if due:
            pathlib.Path("ck.safetensors").write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr("onnx_factorize.cli.compress.run", interrupted)
    arguments = ["-o", "s.onnx", "--finetune", "--checkpoint", "ck.safetensors"]
    code, said = _stopped(monkeypatch, capsys, *arguments)
    assert code == 130
    assert ("continue from ck.safetensors" in said) == due
    assert ("nothing was written" in said) != due


def test_a_dry_run_has_no_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, said = _stopped(
        monkeypatch, capsys, "--finetune", "--checkpoint", "ck.safetensors", "--dry-run"
    )
    assert (code, "--dry-run" in said) == (1, True)
    assert not list(tmp_path.iterdir())


def _shell(line, cwd):
    command = f"'{sys.executable}' -m onnx_factorize"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.format(command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_reader_that_has_seen_enough(tmp_path):
    arguments = " ".join(f"'{argument}'" for argument in FAST)
    done = _shell(f"{{}} {arguments} -o s.onnx 2>&1 | true", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "s.onnx").exists()
    done = _shell(f"{{}} inspect '{BUNDLED}' --json | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["", "--json"])
def test_a_full_disk_under_the_output(option, tmp_path):
    done = _shell(f"{{}} inspect '{BUNDLED}' {option} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "onnx-factorize: The output cannot be printed: No space left on device; "
        "nothing was written.\n"
    )
