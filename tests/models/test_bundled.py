import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import models
from models.cli import main

BUNDLED = models.get("fashion-cnn")


def test_bundled_files_are_small():
    assert sum(file.stat().st_size for file in BUNDLED.folder.iterdir()) < 4_000_000


def test_bundled_model_is_valid_and_names_no_path():
    model = onnx.load(BUNDLED.model_path)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert not any(node.metadata_props for node in model.graph.node)


def test_bundled_calibration_data():
    with np.load(BUNDLED.calib_path) as data:
        assert data["image"].shape == (1024, 1, 28, 28)
        assert data["image"].dtype == np.float32
        assert 0 <= data["image"].min() < data["image"].max() <= 1
        assert set(data["label"]) == set(range(10))


def test_evaluate_bundled():
    result = BUNDLED.evaluate(BUNDLED.model_path)
    assert result["accuracy"] > 0.92
    assert result["agreement"] == 1
    assert result["kl"] == pytest.approx(0, abs=1e-9)


def test_evaluate_limit():
    accuracy = BUNDLED.evaluate(str(BUNDLED.model_path), limit=10)["accuracy"]
    assert accuracy * 10 == pytest.approx(round(accuracy * 10))


def test_evaluate_sees_damage(tmp_path):
    model = onnx.load(BUNDLED.model_path)
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(values), weight.name))
    onnx.save(model, tmp_path / "damaged.onnx")
    result = BUNDLED.evaluate(tmp_path / "damaged.onnx", limit=200)
    assert result["accuracy"] < 0.5
    assert result["agreement"] < 0.5
    assert result["kl"] > 0.5


def test_command_line_json():
    path = str(BUNDLED.model_path)
    args = ["evaluate", "fashion-cnn", path, path, "--limit", "50", "--json"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["model"] == "fashion-cnn"
    assert [row["file"] for row in printed["results"]] == [path, path]
    assert printed["results"][0]["agreement"] == 1


def test_command_line_table():
    args = ["evaluate", "fashion-cnn", str(BUNDLED.model_path), "--limit", "50"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0
    assert "accuracy" in result.stdout


def test_fetch_says_bundled():
    result = CliRunner().invoke(main, ["fetch", "fashion-cnn"])
    assert result.exit_code == 0
    assert "licence" in result.stdout
    assert "bundled" in result.stdout
