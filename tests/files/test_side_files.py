"""What goes with a model is copied beside the written one, and nothing is lost for it."""

from __future__ import annotations

import json
import pathlib

import pytest

from onnx_factorize.errors import InputError
from onnx_factorize.files.side_files import SideFiles
from onnx_factorize.files.writing import writing

CONFIG = {"model": {"decoder": {"filename": "model.onnx", "hidden_size": 4}}, "search": {}}
GO = {
    "genai_config.json": json.dumps(CONFIG),
    "tokenizer.json": "{}",
    "tokenizer.model": "words",
    "tokenizer_config.json": "{}",
    "chat_template.jinja": "{{ x }}",
    "config.json": "{}",
    "generation_config.json": "{}",
    "vocab.json": "{}",
    "merges.txt": "a b",
}
STAY = ["model.onnx", "model.onnx.data", "other.onnx", "texts.txt", "report.json", ".hidden.jinja"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dense", "dense/tokenizer.d", "small"):
        pathlib.Path(name).mkdir()
    for name, text in (GO | dict.fromkeys(STAY, "")).items():
        pathlib.Path("dense", name).write_text(text)


def _copy(written: str) -> set[str]:
    beside = SideFiles(pathlib.Path("dense/model.onnx"), pathlib.Path(written))
    before = set(pathlib.Path(written).parent.iterdir())
    with writing() as files:
        beside.copy(files)
    return {path.name for path in set(pathlib.Path(written).parent.iterdir()) - before}


def test_what_goes_with_a_model(folders):
    assert _copy("small/model.onnx") == set(GO)
    for name, text in GO.items():
        assert pathlib.Path("small", name).read_text() == text


def test_the_configuration_names_the_written_model(folders):
    assert "genai_config.json" in _copy("small/ü.onnx")
    found = json.loads(pathlib.Path("small/genai_config.json").read_text(encoding="utf-8"))
    assert found["model"]["decoder"] == {"filename": "ü.onnx", "hidden_size": 4}
    assert not SideFiles(pathlib.Path("dense/model.onnx"), pathlib.Path("small/o")).other_models


def test_other_models_that_it_names(folders):
    config = CONFIG | {"vision": [{"filename": "vision.onnx"}]}
    pathlib.Path("dense/genai_config.json").write_text(json.dumps(config))
    beside = SideFiles(pathlib.Path("dense/model.onnx"), pathlib.Path("small/model.onnx"))
    assert beside.other_models == ["vision.onnx"]


def test_one_folder(folders):
    pathlib.Path("link").symlink_to("dense")
    assert _copy("link/small.onnx") == set()


def test_equal_files_stay(folders):
    there = pathlib.Path("small/merges.txt")
    there.write_text(GO["merges.txt"])
    before = there.stat().st_ino
    assert _copy("small/model.onnx") == set(GO) - {"merges.txt"}
    assert there.stat().st_ino == before


@pytest.mark.parametrize("name", ["merges.txt", "genai_config.json"])
def test_other_files_are_not_written_over(folders, name):
    there = pathlib.Path("small", name)
    there.write_text("another")
    with pytest.raises(InputError, match=f"{name} is there already"):
        _copy("small/model.onnx")
    assert [path.name for path in pathlib.Path("small").iterdir()] == [name]
    assert there.read_text() == "another"


def test_what_was_looked_at_is_what_is_written_and_over_nothing_that_came_meanwhile(folders):
    beside = SideFiles(pathlib.Path("dense/model.onnx"), pathlib.Path("small/model.onnx"))
    assert len(beside.contents) == len(GO)
    pathlib.Path("dense/merges.txt").write_text("changed")
    with writing() as files:
        beside.copy(files)
    assert pathlib.Path("small/merges.txt").read_text() == GO["merges.txt"]
    with pytest.raises(InputError, match="has come to be meanwhile"), writing() as files:
        beside.copy(files)


def test_a_link_to_nothing_is_not_written_over(folders):
    pathlib.Path("small/merges.txt").symlink_to("nowhere")
    with pytest.raises(InputError, match="is there already"):
        _copy("small/model.onnx")


def test_a_configuration_that_cannot_be_read(folders):
    pathlib.Path("dense/genai_config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        _copy("small/other.onnx")
