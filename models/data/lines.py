"""Short English texts of many kinds, composed from WordNet, for rendering."""

from collections.abc import Iterator

import numpy as np

from models.data import wordnet


class LineComposer:
    """Composes texts: words, sentences, headings, numbers, dates and prices.

    Args:
        synsets: where the words come from. Printable ASCII only is used, so that every DejaVu
            face can draw it and every recogniser of English can read it.
        seed: of the composer's own generator.
    """

    def __init__(self, synsets: list[wordnet.Synset], seed: int) -> None:
        self._synsets = [s for s in synsets if s.definition.isascii() and s.definition]
        self._rng = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[str]:
        """Yield texts without end, each one once."""
        seen = set()
        kinds = (self._words, self._sentence, self._sentence, self._heading, self._figures)
        while True:
            text = kinds[self._rng.integers(len(kinds))]()
            if text not in seen:
                seen.add(text)
                yield text

    def _synset(self) -> wordnet.Synset:
        return self._synsets[self._rng.integers(len(self._synsets))]

    def _lemma(self) -> str:
        lemmas = self._synset().lemmas
        return lemmas[self._rng.integers(len(lemmas))]

    def _words(self) -> str:
        return " ".join(self._lemma() for _ in range(self._rng.integers(1, 3)))

    def _sentence(self) -> str:
        words = self._synset().definition.split()
        start = int(self._rng.integers(max(1, len(words) - 3)))
        text = " ".join(words[start : start + int(self._rng.integers(2, 6))]).strip("();,'\"` ")
        text = text or self._lemma()
        if self._rng.random() < 0.5:
            text = text[0].upper() + text[1:] + ".!?:,"[self._rng.integers(5)]
        return text

    def _heading(self) -> str:
        text = self._words()
        return text.upper() if self._rng.random() < 0.5 else text.title()

    def _figures(self) -> str:
        number = int(10 ** self._rng.uniform(1, 6))
        day, month, year = (int(self._rng.integers(*r)) for r in ((1, 29), (1, 13), (1900, 2030)))
        texts = (
            f"{self._lemma()} {number}",
            f"{day:02}.{month:02}.{year}",
            f"{year}-{month:02}-{day:02} {day % 24:02}:{number % 60:02}",
            f"${number:,}.{day:02}",
            f"No. {number}/{month}",
            f"{number / 100:.2f}% of {self._lemma()}",
            f"+{month} {day}{year} {number}",
        )
        return texts[self._rng.integers(len(texts))]
