"""Every command in the documentation says that it runs, or what it needs; and those run."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
from builders import ROOT
from documentation import Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language == "sh"]
TOOL = re.compile(r"^ {4}(onnx-factorize|python|pip|apt-get|torchrun) ", re.MULTILINE)

# This very suite.
THE_SUITE = "pytest -n auto"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_says_what_it_is(block: Block):
    assert block.language, "```text where it is no code"
    if block.language == "sh":
        assert block.title.startswith(("Runs", "Needs")), 'title="Runs …" or title="Needs …"'
        assert not block.text.startswith(("$", "#"))


def test_commands_are_in_fences():
    assert not [page for page in pages() if _indented(page.read_text(encoding="utf-8"))]


def _indented(text: str) -> bool:
    outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return TOOL.search(outside) is not None


def test_some_run():
    assert sum(block.runs for block in COMMANDS) >= 8


def _name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.long
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="there is nothing to clone")
@pytest.mark.parametrize("page", dict.fromkeys(b.page for b in COMMANDS if b.runs), ids=_name)
def test_they_run(page: pathlib.Path, tmp_path: pathlib.Path):
    """All that is said to run on a page, in turn, as a reader would: in a clone, installed anew."""
    clone, environment = tmp_path / "clone", tmp_path / "environment"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    for block in blocks(page):
        if block.language == "sh" and block.runs and THE_SUITE not in block.text:
            if "pip install" not in block.text:
                _install(environment, clone)
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                check=True,
                cwd=clone,
                env={**variables, "PATH": path},
            )


def _install(environment: pathlib.Path, clone: pathlib.Path) -> None:
    """Installs the clone, where no command of the page has."""
    python = environment / "bin" / "python"
    known = subprocess.run(
        [python, "-c", "import onnx_factorize"], capture_output=True, check=False
    )
    if known.returncode:
        command = [python, "-m", "pip", "install", "--quiet", clone]
        subprocess.run(command, check=True)
