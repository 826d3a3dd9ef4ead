import re

import pytest

import models
from models.recipe import ROOT_VARIABLE


def test_names_are_unique_and_plain():
    names = models.names()
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@pytest.mark.parametrize("name", models.names())
def test_recipe_is_described(name):
    recipe = models.get(name)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.licence
    assert recipe.source
    assert recipe.metric
    assert type(recipe).__doc__


def test_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    recipe = models.get("magika")
    assert recipe.model_path == tmp_path / "magika" / "model.onnx"
    assert recipe.calib_path == tmp_path / "magika" / "calib"
    assert not recipe.is_fetched


def test_unknown_name():
    with pytest.raises(models.RecipeError, match="nonesuch"):
        models.get("nonesuch")


class Toy(models.Recipe):
    name, summary, licence, source, metric = "toy", "a toy", "none", "nowhere", "none"
    builds = 0

    def build(self, folder):
        type(self).builds += 1
        (folder / "model.onnx").write_bytes(b"x")
        if self.builds == 3:
            raise models.RecipeError("third time unlucky")

    def measure(self, model, dense, limit):
        return {}


def test_fetch_is_idempotent_and_atomic(tmp_path):
    toy = Toy()
    assert toy.fetch(tmp_path)
    assert toy.is_fetched
    assert not toy.fetch()
    assert toy.fetch(force=True)
    with pytest.raises(models.RecipeError, match="unlucky"):
        toy.fetch(force=True)
    assert toy.is_fetched
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
