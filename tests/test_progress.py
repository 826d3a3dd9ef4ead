"""Stages, one after the other."""

from __future__ import annotations

import sys

from onnx_factorize import Progress, progress


def test_stages_end_on_systems_that_cannot_be_given_memory(monkeypatch):
    found = Progress()
    for name, library in (("linux", object), ("win32", None)):
        monkeypatch.setattr(sys, "platform", name)
        monkeypatch.setattr(progress.ctypes, "CDLL", lambda _, library=library: library())
        with found.stage(name, total=2) as advance:
            advance(3)
    assert list(found.seconds) == ["linux", "win32"]
