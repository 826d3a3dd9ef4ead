"""Samples as people know them, and the graph around one operator."""

from __future__ import annotations

import base64
import io

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, normal
from PIL import Image

from onnx_factorize import factorize
from onnx_factorize.calibration import Batch
from onnx_factorize.report.samples import Reader, shown


class _Data:
    """Ten held-out samples of one array."""

    holdout_samples, unit = 10, 1

    def __init__(self, array):
        self.array = array

    def batches(self, split, size, only):
        assert (split, size) == ("holdout", 1)
        rows = np.flatnonzero(only)
        yield Batch({"x": self.array[rows]}, len(rows), None, "here", rows)


@pytest.mark.parametrize("shape", [(3, 20, 30), (20, 30, 3), (1, 20, 30)])
def test_pictures_are_shown_however_they_are_normalised(shape):
    array = normal(1, 10, *shape) * 3 - 1
    uri = shown(_Data(array), 4, Reader(None))["image"]
    head, _, code = uri.partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(code)))
    assert image.size == (30, 20)
    pixels = np.asarray(image, np.float64)
    own = array[4] if shape[-1] == 3 else np.moveaxis(array[4], 0, -1)
    assert np.corrcoef(pixels.ravel(), own.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    "array",
    [normal(1, 10, 64), normal(1, 10, 4, 20, 20), normal(1, 10, 3, 5, 20), np.ones((10, 3, 9, 9))],
)
def test_what_is_no_picture_is_not_shown(array):
    assert shown(_Data(array), 4, Reader(None)) == {}


def test_token_ids_are_read_where_a_tokenizer_is_known(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "the": 1, "cat": 2, "sat": 3}
    model = tokenizers.models.WordLevel(words, unk_token="[UNK]")
    tokenizers.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    data = _Data(np.tile(np.array([[1, 2, 3]]), (10, 1)))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert shown(data, 0, Reader(str(path))) == {"text": "the cat sat"}
    assert shown(data, 0, Reader(None)) == {}
    assert shown(data, 0, Reader(str(tmp_path / "gone.json"))) == {}
    long = _Data(np.ones((10, 500), np.int64))
    assert len(shown(long, 0, Reader(str(tmp_path)))["text"]) < 300


def test_a_report_holds_pictures_errors_and_a_piece_of_the_graph():
    options = {"samples": 96, "threads": 1, "weighting": "activation", "budget": "targets=0.5"}
    result = factorize(BUNDLED, BUNDLED_DATA, **options)
    report = result.report.as_plain()
    worst = report["divergence"]["worst"]
    assert worst
    assert all(each["image"].startswith("data:image/png") for each in worst)
    assert 0 < report["divergence"]["holdout_error"] < report["divergence"]["holdout"]
    piece = report["rewritten"]
    nodes = {node.name: node for node in result.model.graph}
    assert [node["name"] in nodes for node in piece["after"]] == [True] * len(piece["after"])
    assert piece["before"][0]["name"] == piece["layer"]
    assert piece["before"][0]["gives"] == piece["after"][-1]["gives"]
    written = nodes[piece["after"][0]["name"]]
    assert isinstance(written, ir.Node)
    assert piece["after"][0]["weights"][0] == list(written.inputs[1].shape.numpy())
