"""What is said, and what is left, where a command stops early."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.cli import main as cli
from onnx_factorize.cli.stopping import stoppable
from onnx_factorize.files.writing import writing
from onnx_factorize.result import Result

FAST = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "64", "--threads", "1"]
FAST += ["--weighting", "activation"]


def _stopped(monkeypatch, capsys, *arguments, given=FAST):
    """The exit code, and the last line of stderr."""
    monkeypatch.setattr(sys, "argv", ["onnx-factorize", *given, *arguments])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code, capsys.readouterr().err.strip().splitlines()[-1]


def test_an_interrupted_sweep_names_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save = Result.save

    def second(self, path, reports=(), **side_files):
        if pathlib.Path("s.0.9.onnx").exists():
            raise KeyboardInterrupt
        save(self, path, reports, **side_files)

    monkeypatch.setattr(Result, "save", second)
    said = _stopped(monkeypatch, capsys, "-o", "s.onnx", "--sweep", "0.9,0.5")
    assert said == (130, "onnx-factorize: interrupted; s.0.9.onnx was written.")


@pytest.mark.parametrize("due", [False, True])
def test_an_interrupted_training_names_its_checkpoint(due, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def interrupted(*_args, **_options):
        if due:
            pathlib.Path("ck.safetensors").write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr("onnx_factorize.cli.compress.run", interrupted)
    arguments = ["-o", "s.onnx", "--finetune", "--checkpoint", "ck.safetensors"]
    code, said = _stopped(monkeypatch, capsys, *arguments)
    assert code == 130
    assert ("continue from ck.safetensors" in said) == due
    assert ("nothing was written" in said) != due


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_clean_up_as_well(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    number = signal.Signals[name]
    before = signal.getsignal(number)

    def killed(self, path, reports=(), **side_files):
        with writing() as files:
            files.path(pathlib.Path(path)).write_bytes(b"half")
            assert len(list(tmp_path.iterdir())) == 1
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Result, "save", killed)
    code, said = _stopped(monkeypatch, capsys, "-o", "s.onnx")
    assert (code, said) == (128 + number, "onnx-factorize: terminated; nothing was written.")
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_so(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_was_written_is_found_out_by_looking(tmp_path, monkeypatch, capsys):
    """The interruption comes after the model has appeared, and before the command knows of it."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path("s.onnx").write_bytes(b"older")
    save = Result.save

    def late(self, path, reports=(), **side_files):
        save(self, path, reports, **side_files)
        raise KeyboardInterrupt

    monkeypatch.setattr(Result, "save", late)
    said = _stopped(monkeypatch, capsys, "-o", "s.onnx")
    assert said == (130, "onnx-factorize: interrupted; s.onnx was written.")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("import sys\nsys.exit(0)", "importing"),
        ("import sys\ndef f():\n    sys.exit(0)", "called"),
        ("import sys\ndef f():\n    yield from ()\n    sys.exit()", "called"),
    ],
)
def test_leaving_from_the_users_module_is_no_success(text, at, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("leaving.py").write_text(text)
    try:
        given = [str(BUNDLED), "--calib", "leaving:f"]
        code, said = _stopped(monkeypatch, capsys, "-o", "s.onnx", given=given)
    finally:
        sys.modules.pop("leaving", None)
    assert code == 1
    assert "sys.exit(" in said
    assert at in said
    assert not pathlib.Path("s.onnx").exists()


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


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["--help", "--version", "compress --help"])
def test_a_full_disk_under_the_help(option, tmp_path):
    done = _shell(f"{{}} {option} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "onnx-factorize: The output cannot be printed: No space left on device; "
        "nothing was written.\n"
    )


def test_help_that_nobody_reads_to_the_end(tmp_path):
    done = _shell("{} --help | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
