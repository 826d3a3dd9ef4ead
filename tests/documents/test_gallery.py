"""The gallery: what may be passed on, and what a card says."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from click.testing import CliRunner

import models
from benchmarks import gallery


@pytest.mark.parametrize("name", models.names())
def test_weights_of_unstated_licence_are_left_out(name: str):
    recipe = models.get(name)
    reason = gallery._left_out(recipe)
    if "none stated" in recipe.licence:
        assert reason is not None


def test_every_model_of_the_gallery_is_a_recipe():
    assert set(gallery.OPTIONS) <= set(models.names())


def test_a_model_with_its_card(tmp_path, monkeypatch):
    monkeypatch.setitem(gallery.OPTIONS, "fashion-cnn", "--budget params=0.6 --samples 64")
    save = tmp_path / "figures.json"
    told = ["fashion-cnn", "-o", str(tmp_path / "made"), "--limit", "64", "--save", str(save)]
    done = CliRunner().invoke(gallery.main, told, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "made" / "fashion-cnn"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "model.onnx",
        "report.json",
    ]
    card = (folder / "README.md").read_text(encoding="utf-8")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert f"{report['divergence']['holdout']:.2g}" in card
    assert "Apache-2.0" in card
    command = shlex.split(card.strip().split("\n")[-1])
    assert command[:2] == ["onnx-factorize", "models/bundled/fashion-cnn.onnx"]
    (row,) = json.loads(save.read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(row)
    assert row["bytes"][1] < 0.65 * row["bytes"][0]
    assert "fashion" in gallery.page([row]).lower()


def test_a_model_that_is_not_made_leaves_nothing(tmp_path, monkeypatch):
    def fails(command, **_):
        raise subprocess.CalledProcessError(3, command)

    monkeypatch.setattr(gallery.subprocess, "run", fails)
    done = CliRunner().invoke(gallery.main, ["fashion-cnn", "-o", str(tmp_path / "made")])
    assert done.exit_code == 0
    assert list((tmp_path / "made").iterdir()) == []


def test_the_page_is_what_the_figures_say():
    rows = gallery.figures.read(sorted(gallery.RESULTS.glob("*.json")))
    assert gallery.page(rows) == gallery.PAGE.read_text(encoding="utf-8")
