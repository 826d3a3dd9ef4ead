"""The command line, run within the tests' own process."""

from __future__ import annotations

import sys

from onnx_factorize.cli.main import main


def main_of(arguments, monkeypatch, capsys):
    """Runs the command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["onnx-factorize", *arguments])
    try:
        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    return code, *capsys.readouterr()
