import json

import numpy as np
import pytest
from PIL import Image

from models.data import imagenet, stamps

# animal > (cat > (lion, tiger), dog); 4 is a class without a word of its own.
DATA = [
    "  1 licence",
    "00000001 03 n 01 animal 0 000 | all",
    "00000002 05 n 02 cat 0 true_cat 0 001 @ 00000001 n 0000 | felines",
    "00000003 05 n 01 lion 0 001 @ 00000002 n 0000 | big",
    "00000004 05 n 01 tiger 0 001 @ 00000002 n 0000 | striped",
    "00000005 05 n 01 dog 0 002 @ 00000001 n 0000 ~ 00000006 n 0000 | barks",
    "00000006 05 n 01 sea_dog 0 001 @i 00000005 n 0000 | swims",
]
INDEX = [
    "animal n 1 1 ~ 1 0 00000001",
    "cat n 1 2 @ ~ 1 1 00000002",
    "lion n 2 1 @ 2 0 00000003 00000005",
    "dog n 2 1 @ 2 0 00000005 00000003",
    "sea_dog n 1 1 @ 1 0 00000006",
]


@pytest.fixture
def finder(tmp_path, monkeypatch):
    (tmp_path / "data.noun").write_text("\n".join(DATA))
    (tmp_path / "index.noun").write_text("\n".join(INDEX))
    classes = {"7": "n00000003", "8": "n00000004", "9": "n00000006"}
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    monkeypatch.setattr(imagenet, "_FOLDER", str(tmp_path))
    return imagenet.ClassFinder(tmp_path / "classes.json")


@pytest.mark.parametrize(
    ("noun", "index"),
    [("lion", 7), ("Sea dog", 9), ("dog", 9), ("cat", None), ("animal", None), ("mouse", None)],
)
def test_class_of_a_noun(finder, noun, index):
    assert finder.find(noun) == index


@pytest.mark.parametrize(
    ("description", "noun"),
    [("A sea lion.", "sea lion"), ("An owl.", "owl"), ("The Moon", "moon"), ("Anchor!", "anchor")],
)
def test_noun_of_a_description(description, noun):
    assert stamps.noun_of(description) == noun


def test_stamp_is_centred_on_white(tmp_path):
    Image.new("RGBA", (40, 20), (255, 0, 0, 255)).save(tmp_path / "stamp.png")
    pixels = stamps.load(tmp_path / "stamp.png", 100)
    red = (pixels == (255, 0, 0)).all(axis=2)
    assert pixels.shape == (100, 100, 3)
    assert (pixels[0, 0] == 255).all()
    assert (np.flatnonzero(red.any(axis=0))[[0, -1]] == [5, 94]).all()


def test_drawn_and_nameless_stamps_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(stamps, "_FOLDER", str(tmp_path))
    (tmp_path / "cartoon").mkdir()
    for name in ("cartoon/dog", "cat", "nameless"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    for name in ("cartoon/dog", "cat"):
        (tmp_path / f"{name}.txt").write_text("A cat.\nde=Eine Katze.\n")
    assert [(path.name, noun) for path, noun in stamps.named()] == [("cat.png", "cat")]
