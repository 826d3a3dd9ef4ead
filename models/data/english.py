"""English prose of three kinds: news of a radio station, licences, and definitions of words."""

from pathlib import Path

import numpy as np

from models.data import wordnet
from models.debian import installed

_CORPUS = "gensim/test/test_data"
_LICENCE = "/usr/share/common-licenses/GPL-3"
_DEFINITIONS = 1200


def news(package: Path, name: str) -> str:
    """The stories of a file of the Lee corpus, one a paragraph.

    Args:
        package: The folder of the unpacked package gensim.
        name: `lee_background.cor`, 300 stories, or `lee.cor`, 50 others.
    """
    lines = (package / _CORPUS / name).read_text(encoding="latin-1").splitlines()
    return "\n\n".join(line.strip() for line in lines if line.strip())


def licence() -> str:
    """The text of a licence of software, without its line breaks within paragraphs."""
    text = installed(_LICENCE, "base-files").read_text(encoding="utf-8")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def glosses() -> str:
    """Definitions of WordNet with their examples, one a line, in random order."""
    synsets = wordnet.load_shuffled(seed=0)
    chosen = np.random.default_rng(0).permutation(len(synsets))[:_DEFINITIONS]
    return "\n".join(f"{synsets[i].lemmas[0]}: {synsets[i].gloss}" for i in chosen)
