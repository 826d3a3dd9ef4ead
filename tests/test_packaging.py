"""What is installed is all that there is, and it imports from wherever it lies."""

from __future__ import annotations

import re

from builders import ROOT

from onnx_factorize import __version__


def test_no_module_is_without_its_package():
    for source in (ROOT / "onnx_factorize").rglob("*.py"):
        assert (source.parent / "__init__.py").exists()


def test_nothing_of_the_package_is_a_link():
    assert not [path for path in (ROOT / "onnx_factorize").rglob("*") if path.is_symlink()]


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"^## (\d+\.\d+\.\d+)", text, re.MULTILINE)
    assert first == __version__
    assert first not in others
    assert "## Unreleased" not in text.partition(f"## {first}")[2]
