from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.data import pages, rendering, wordnet
from models.data.lines import LineComposer
from models.recipes.minilm import choose_nouns
from models.recipes.ppocr_cls import fitted
from models.recipes.ppocr_rec import WIDEST, write_lines
from models.storage import parts

needs_fonts = pytest.mark.skipif(
    not Path(rendering._FOLDER).is_dir(), reason=f"needs {rendering.PACKAGE}"
)
needs_wordnet = pytest.mark.skipif(
    not Path(wordnet._FOLDER).is_dir(), reason=f"needs {wordnet.PACKAGE}"
)

SYNSETS = [
    wordnet.Synset("noun", ("cart", "hand barrow"), 'a wheeled vehicle; "he pushed a cart"'),
    wordnet.Synset("noun", ("entity",), "that which is perceived (living or not)"),
    wordnet.Synset("verb", ("breathe",), "draw air into, and expel it out of, the lungs"),
    wordnet.Synset("noun", ("Cart",), "another cart with the same lemma"),
]


def texts(count, seed=0):
    return list(islice(LineComposer(SYNSETS, seed), count))


def test_parse_line_of_wordnet():
    line = (
        "00003553 00 s 02 emergent 0 self_made(ip) 0 003 & 00003356 a 0000 | "
        'coming into existence; "an emergent republic"  '
    )
    synset = wordnet.parse_line(line, "adj")
    assert synset.lemmas == ("emergent", "self made")
    assert synset.definition == "coming into existence"
    assert synset.gloss == 'coming into existence; "an emergent republic"'


@needs_wordnet
def test_wordnet_is_whole():
    adverbs = wordnet.load("adv")
    assert len(adverbs) > 3000
    assert all(synset.lemmas and synset.gloss for synset in adverbs)


def test_choose_nouns_are_distinct_and_split_off():
    nouns, rest = choose_nouns(SYNSETS, 2)
    assert [noun.lemmas[0] for noun in nouns] == ["cart", "entity"]
    assert rest == SYNSETS[2:]


def test_composed_texts_are_distinct_ascii():
    composed = texts(200)
    assert len(set(composed)) == 200
    assert composed == texts(200)
    assert composed != texts(200, seed=1)
    assert all(text.isascii() and text.isprintable() and text == text.strip() for text in composed)


@needs_fonts
def test_line_has_ink_inside_and_paper_at_the_edge():
    for seed in range(20):
        image = rendering.render_line("Hamburg 42", np.random.default_rng(seed))
        assert image.shape[0] == 48
        assert image.dtype == np.uint8
        grey = image.astype(float).mean(axis=2)
        assert grey[8:40, 15:-15].std() > 2 * grey[:2, :].std() or grey[8:40].std() > 15


@needs_fonts
def test_line_repeats_under_a_seed():
    first, second = (rendering.render_line("abc", np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)


def test_normalised_range():
    image = np.array([[[0, 127.5, 255]]])
    assert rendering.normalised(image).ravel() == pytest.approx([-1, 0, 1])


@needs_fonts
def test_written_lines_share_a_width(tmp_path):
    write_lines(tmp_path, [*texts(40), "word " * 60], seed=0, with_text=True)
    written = list(parts(tmp_path))
    assert sum(len(part["text"]) for part in written) == 41
    for part in written:
        assert part["x"].dtype == np.float32
        assert part["x"].shape[1:3] == (3, 48)
        assert part["x"].shape[3] % 64 == 0
        assert part["x"].shape[3] <= WIDEST
    assert set(np.concatenate([part["text"] for part in written])) >= set(texts(5))


@needs_fonts
def test_page_boxes_hold_the_ink():
    rng = np.random.default_rng(2)
    image, boxes = pages.render_page(iter(LineComposer(SYNSETS, 0)), rng)
    assert image.shape == (pages.HEIGHT, pages.WIDTH, 3)
    assert len(boxes) > 2
    mask = pages.shrunk_mask(boxes, ratio=1.0)
    grey = image.astype(float).mean(axis=2)
    assert grey[mask].std() > 2 * grey[~mask].std()


def test_shrunk_mask_lies_inside():
    box = pages.Box(100, 50, 300, 90)
    whole, shrunk = pages.shrunk_mask([box], ratio=1.0), pages.shrunk_mask([box])
    assert whole.sum() == 200 * 40
    assert 0 < shrunk.sum() < whole.sum()
    assert not (shrunk & ~whole).any()


def test_fitted_squeezes_and_pads():
    wide, narrow = np.full((48, 400, 3), 255, np.uint8), np.full((48, 50, 3), 255, np.uint8)
    assert (fitted(wide) == 1).all()
    padded = fitted(narrow)
    assert (padded[:, :, :50] == 1).all()
    assert (padded[:, :, 50:] == 0).all()
