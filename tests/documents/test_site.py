"""The site of docs/ is made without a warning: links lead somewhere, and no page is left out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from builders import ROOT

for needed in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(needed, reason="python -m pip install '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", folder]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_readme_is_the_front_page(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "practically the same" in page
    assert 'href="howto/data/"' in page


def test_every_option_is_in_the_reference(site):
    page = (site / "reference" / "command-line" / "index.html").read_text(encoding="utf-8")
    for option in ("--calib", "--max-divergence", "--shard", "--factors"):
        assert option in page
    assert "\\|" not in page


def test_functions_have_their_docstrings(site):
    page = (site / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    for name in ("factorize", "sweep", "compare", "inspect", "InputError"):
        assert f'id="onnx_factorize.{name}"' in page
    assert "Compresses a trained model by calibrated low-rank factorization" in page
