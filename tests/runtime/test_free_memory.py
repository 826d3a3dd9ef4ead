"""What is free, and what of that a run takes."""

from __future__ import annotations

import pytest

from onnx_factorize.options import Memory
from onnx_factorize.runtime import free_memory
from onnx_factorize.runtime.free_memory import free_bytes, memory_of


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system that says what it is told to."""

    def say(available, limit="max", taken=0):
        meminfo, most, now = (tmp_path / name for name in ("meminfo", "most", "now"))
        meminfo.write_text(f"MemTotal: 99 kB\nMemAvailable:   {available // 1024} kB\n")
        most.write_text(f"{limit}\n")
        now.write_text(f"{taken}\n")
        monkeypatch.setattr(free_memory, "_MEMINFO", meminfo)
        monkeypatch.setattr(free_memory, "_LIMITS", ((most, now),))

    return say


def test_half_of_what_is_free(system):
    system(2**30)
    assert memory_of(None) == Memory(2**29)
    system(2**36)
    assert memory_of(None) == Memory()
    assert memory_of(Memory(5e6)) == Memory(5e6)
    system(0)
    assert memory_of(None) == Memory(1e6)


def test_containers_have_less(system):
    system(2**36, limit=2**30, taken=2**29)
    assert free_bytes() == 2**29
    system(2**36, limit=2**29, taken=2**30)
    assert free_bytes() == 0


def test_a_system_that_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(free_memory, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(free_memory, "_LIMITS", ((tmp_path / "none", tmp_path / "none"),))
    monkeypatch.setattr(free_memory.os, "sysconf_names", {}, raising=False)
    assert free_bytes() is None
    assert memory_of(None) == Memory()
