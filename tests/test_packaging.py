"""What is installed is all that there is, and it imports from wherever it lies."""

from __future__ import annotations

from builders import ROOT


def test_no_module_is_without_its_package():
    for source in (ROOT / "onnx_factorize").rglob("*.py"):
        assert (source.parent / "__init__.py").exists()


def test_nothing_of_the_package_is_a_link():
    assert not [path for path in (ROOT / "onnx_factorize").rglob("*") if path.is_symlink()]
