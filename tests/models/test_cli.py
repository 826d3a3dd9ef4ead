import re

import pytest
from click.testing import CliRunner

import models
from models import packages
from models.cli import main
from models.data import fashion_mnist
from models.recipe import ROOT_VARIABLE


def run(*args):
    return CliRunner().invoke(main, list(args))


def assert_one_sentence(result, *words):
    assert result.exit_code == 1
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    for word in words:
        assert word in line
    assert "Traceback" not in result.output


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    return tmp_path


def test_list_names_every_model():
    result = run("list")
    assert result.exit_code == 0
    for name in models.names():
        assert re.search(rf"^\s*{re.escape(name)}\s", result.stdout, re.MULTILINE)


def test_unknown_name():
    assert_one_sentence(run("fetch", "nonesuch"), "nonesuch", "fashion-cnn")
    assert_one_sentence(run("evaluate", "nonesuch", "x.onnx"), "nonesuch")


def test_evaluate_before_fetch(root):
    assert_one_sentence(run("evaluate", "magika", "x.onnx"), "python -m models fetch magika")


def test_evaluate_missing_file():
    assert_one_sentence(run("evaluate", "fashion-cnn", "missing.onnx"), "missing.onnx")


def test_evaluate_broken_file(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    assert_one_sentence(run("evaluate", "fashion-cnn", str(broken)), "broken.onnx")


def test_train_of_a_downloaded_model():
    assert_one_sentence(run("train", "magika"), "not trained here")


def test_missing_debian_package(root, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_FOLDER", "/nonesuch")
    pytest.importorskip("torch")
    assert_one_sentence(run("fetch", "fashion-resnet"), "apt-get install", fashion_mnist.PACKAGE)
    assert list(root.iterdir()) == []


def test_fetch_all_goes_on_after_a_failure(root, monkeypatch):
    def fails(self, folder):
        raise models.RecipeError(f"no {self.name} today")

    for name in models.names():
        monkeypatch.setattr(type(models.get(name)), "build", fails)
    result = run("fetch", "all")
    assert_one_sentence(result, "Not fetched", "ppocr-rec", "fashion-vit")
    assert "no minilm today" in result.stderr
    assert "bundled" in result.stdout


def test_failed_download_leaves_nothing(root, monkeypatch):
    monkeypatch.setattr(packages.sys, "executable", "false")
    assert_one_sentence(run("fetch", "magika"), "magika", "pip")
    assert list(root.iterdir()) == []
