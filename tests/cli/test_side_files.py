"""`--copy-side-files`: a decoder is written as it ships, and generates."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import pytest
from commands import main_of
from genai_models import END, HEAD, KEYS, genai_folder, genai_text

from onnx_factorize import factorize

RUN = ["dense/model.onnx", "--calib", "ids.npz", "--threads", "1", "--weighting", "activation"]
RUN += ["--budget", "targets=0.8", "--copy-side-files"]
BESIDE = {
    "chat_template.jinja", "genai_config.json", "tokenizer.json", "tokenizer_config.json"
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    genai_folder(tmp_path / "dense")
    pathlib.Path("small").mkdir()
    np.savez("ids.npz", input_ids=genai_text())


def _small() -> set[str]:
    return {path.name for path in pathlib.Path("small").iterdir()}


def test_the_result_generates(folder, monkeypatch, capsys):
    genai = pytest.importorskip("onnxruntime_genai")
    code, out, err = main_of([*RUN, "-o", "small/cut.onnx"], monkeypatch, capsys)
    assert code == 0, err
    assert _small() == BESIDE | {"cut.onnx", "cut.onnx.data"}
    assert all(name in out for name in _small() - {"cut.onnx.data"})
    cut = onnx.load("small/cut.onnx", load_external_data=False)
    (attention,) = (node for node in cut.graph.node if node.output[0] == "a1")
    assert all(attention.input[:3])  # its queries, keys and values come from three products
    model = genai.Model("small")
    given = genai.GeneratorParams(model)
    given.set_search_options(max_length=24, min_length=24)
    generator = genai.Generator(model, given)
    generator.append_tokens(np.array([3, 6, 9, 12], np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    tokens = np.array(generator.get_sequence(0))
    assert len(tokens) == 24
    np.testing.assert_array_equal(tokens[4:], _likeliest(tokens)[3:-1])


def _likeliest(tokens: np.ndarray) -> np.ndarray:
    """The token that follows each, by the written model in onnxruntime, other than the end."""
    session = onnxruntime.InferenceSession("small/cut.onnx")
    feeds = {"input_ids": tokens[None].astype(np.int64)}
    feeds["attention_mask"] = np.ones_like(feeds["input_ids"])
    for value in session.get_inputs()[2:]:
        feeds[value.name] = np.zeros((1, KEYS, 0, HEAD), np.float32)
    logits = session.run(["logits"], feeds)[0][0]
    logits[:, END] = -np.inf
    return logits.argmax(axis=1)


def test_nothing_is_written_beside_another_file(folder, monkeypatch, capsys):
    pathlib.Path("small/tokenizer.json").write_text("another")
    code, out, err = main_of([*RUN, "-o", "small/cut.onnx"], monkeypatch, capsys)
    assert code == 1
    assert "small/tokenizer.json is there already" in err
    assert "calibrate" not in out
    assert _small() == {"tokenizer.json"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--report", "small/tokenizer.json"], "is to be written twice"),
        (["--sweep", "0.9,0.8"], "leave one out"),
    ],
)
def test_what_does_not_go_with_it(folder, monkeypatch, capsys, more, said):
    code, _, err = main_of([*RUN, "-o", "small/cut.onnx", *more], monkeypatch, capsys)
    assert code == 1
    assert said in err
    assert not _small()


def test_beside_the_dense_model(folder, monkeypatch, capsys):
    before = pathlib.Path("dense/genai_config.json").read_text()
    code, out, _ = main_of([*RUN, "--dry-run"], monkeypatch, capsys)
    assert code == 0
    assert "nothing to copy" in out
    assert pathlib.Path("dense/genai_config.json").read_text() == before


def test_from_python(folder):
    made = factorize("dense/model.onnx", "ids.npz", weighting="none", threads=1)
    made.save("small/model.onnx", side_files="dense/model.onnx")
    assert _small() == BESIDE | {"model.onnx", "model.onnx.data"}
    config = json.loads(pathlib.Path("small/genai_config.json").read_text())
    assert config["model"]["decoder"]["filename"] == "model.onnx"
