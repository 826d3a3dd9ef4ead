"""WordNet: synsets with their lemmas and glosses, from Debian's wordnet-base."""

from dataclasses import dataclass

import numpy as np

from models.debian import installed

PACKAGE = "wordnet-base"
PARTS = ("noun", "verb", "adj", "adv")
_FOLDER = "/usr/share/wordnet"


@dataclass(frozen=True)
class Synset:
    """A set of synonyms.

    Attributes:
        part: the part of speech, one of `PARTS`.
        lemmas: the synonyms, with spaces for underscores.
        gloss: the definition, often followed by quoted example sentences.
    """

    part: str
    lemmas: tuple[str, ...]
    gloss: str

    @property
    def definition(self) -> str:
        """The gloss without its examples."""
        return self.gloss.split('; "')[0].strip()


def load(part: str) -> list[Synset]:
    """Return all synsets of a part of speech, in the order of the file."""
    text = installed(f"{_FOLDER}/data.{part}", PACKAGE).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("  "))
    return [parse_line(line, part) for line in lines]


def load_shuffled(seed: int) -> list[Synset]:
    """Return the synsets of all parts of speech in random order."""
    synsets = [synset for part in PARTS for synset in load(part)]
    return [synsets[i] for i in np.random.default_rng(seed).permutation(len(synsets))]


def parse_line(line: str, part: str) -> Synset:
    """Return the synset of a line of a ``data.*`` file (its format: wndb(5WN))."""
    fields, _, gloss = line.partition(" | ")
    words = fields.split(" ")
    count = int(words[3], 16)
    # An adjective may carry a syntactic marker: "galore(ip)".
    lemmas = tuple(words[4 + 2 * i].split("(")[0].replace("_", " ") for i in range(count))
    return Synset(part, lemmas, gloss.strip())
