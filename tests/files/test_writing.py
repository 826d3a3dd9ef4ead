"""Files that belong together appear together."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from builders import model, normal

from onnx_factorize.errors import InputError
from onnx_factorize.files import model_io
from onnx_factorize.files.writing import writing
from onnx_factorize.runtime import paging

NAMES = ["m.data", "m.onnx", "r.json"]


@pytest.fixture
def older(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        pathlib.Path(name).write_text("older")


def _write():
    with writing() as files:
        for name in NAMES:
            files.path(pathlib.Path(name)).write_text("newer")


def test_all_of_them(older):
    _write()
    assert {path.name: path.read_text() for path in pathlib.Path().iterdir()} == dict.fromkeys(
        NAMES, "newer"
    )


@pytest.mark.parametrize("moves", range(6))
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("there", [NAMES, NAMES[1:], []])
def test_stopped_between_two_moves(moves, late, stop, there, older, monkeypatch):
    """A model never stands beside the weights of another, nor a report beside another's model."""
    for name in {*NAMES} - {*there}:
        pathlib.Path(name).unlink()
    replace, made = pathlib.Path.replace, []

    def limited(self, target):
        made.append(target)
        if len(made) - 1 == moves:
            if late:
                replace(self, target)
            raise stop(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", limited)
    if moves < len(NAMES) + len(there):
        with pytest.raises(InputError if stop is OSError else stop):
            _write()
        left = dict.fromkeys(there, "older")
    else:
        _write()
        left = dict.fromkeys(NAMES, "newer")
    assert {path.name: path.read_text() for path in pathlib.Path().iterdir()} == left


def test_a_folder_in_the_way_is_found_before_anything_moves(older):
    pathlib.Path("r.json").unlink()
    pathlib.Path("r.json").mkdir()
    with pytest.raises(InputError, match=r"r\.json cannot be written"):
        _write()
    assert [pathlib.Path(name).read_text() for name in NAMES[:2]] == ["older", "older"]


@pytest.fixture
def no_room():
    """No file may become larger than 1 MB, which is what a full disk comes to."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_small_folder_for_temporary_files(no_room, monkeypatch):
    monkeypatch.setattr(paging, "_IN_MEMORY", 0)
    with pytest.raises(InputError, match="set TMPDIR"):
        paging.keep(np.ones(1_000_000))
    text = "(float[b, 600] x) => (float[b, 600] y) { y = MatMul (x, w) }"
    loaded = model_io.load(model(text, {"w": normal(1, 600, 600)}))
    with pytest.raises(InputError, match="set TMPDIR"):
        paging.spill_values(loaded.graph.initializers.values())
