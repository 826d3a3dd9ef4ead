"""What is installed is all that there is."""

from __future__ import annotations

import sys

import pytest
from builders import ROOT

tomllib = pytest.importorskip("tomllib") if sys.version_info >= (3, 11) else None


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_every_package_is_listed():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"onnx_factorize": ROOT / "onnx_factorize", "onnx_factorize.passes": ROOT / "passes"}
    packages = set()
    for name, folder in folders.items():
        for init in folder.rglob("__init__.py"):
            inside = init.parent.relative_to(folder).parts
            if name == "onnx_factorize" and inside[:1] == ("passes",):
                continue  # a link to the other folder
            packages.add(".".join((name, *inside)))
    assert set(setup["packages"]) == packages
    assert setup["package-dir"] == {
        name: str(folder.relative_to(ROOT)) for name, folder in folders.items()
    }


def test_no_module_is_without_its_package():
    for folder in (ROOT / "onnx_factorize", ROOT / "passes"):
        for source in folder.rglob("*.py"):
            assert (source.parent / "__init__.py").exists()
