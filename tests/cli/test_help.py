"""`--help`, `--version` and what shells complete."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete
from commands import main_of

from onnx_factorize.cli import main as cli
from onnx_factorize.cli.headings import HEADINGS, OTHER

GROUPED = ["compress", "calibrate", "compare", "inspect"]
HEAVY = ["numpy", "onnx", "onnx_ir", "onnxruntime", "rich", "onnx_factorize.api"]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_imported_to_say_who_one_is(option):
    code = (
        "import sys, atexit; sys.argv[1:] = [sys.argv[1]];"
        f"atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]));"
        "from onnx_factorize.cli.main import main; main()"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, option], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_the_help_calls_each_command(monkeypatch, capsys):
    _, said, _ = main_of(["--help"], monkeypatch, capsys)
    context = click.Context(cli.cli)
    for name in cli.cli.list_commands(context):
        command = cli.cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert f"onnx-factorize {name} " in said or name == "compress"


@pytest.mark.parametrize("name", GROUPED)
def test_every_option_is_under_a_heading(name, monkeypatch, capsys):
    _, said, _ = main_of([name, "--help"], monkeypatch, capsys)
    headings = re.findall(r"^([A-Z].*):$", said, re.M)
    assert headings == [heading for heading in HEADINGS if heading in headings]
    assert headings[-1] == OTHER
    assert said[said.index(f"\n{OTHER}:") :].count("\n  -") == 1  # --help


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["m.onnx", "--effort"], "", ["low", "normal", "high"]),
        (["compress", "m.onnx", "--form"], "t", ["tucker"]),
        (["m.onnx", "--weighting"], "", ["activation", "diagonal", "fisher", "none"]),
        (["m.onnx", "--quantize"], "int", ["int8", "int4"]),
        (["compare", "m.onnx", "n.onnx", "--runtime"], "onn", ["onnxruntime"]),
    ],
)
def test_words_are_completed(words, incomplete, found):
    complete = ShellComplete(cli.cli, {}, "onnx-factorize", "_ONNX_FACTORIZE_COMPLETE")
    items = [item.value for item in complete.get_completions(words, incomplete)]
    assert items == found
