"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator

from builders import ROOT

_FENCE = re.compile(r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?[^\n`]*$')


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it is.
        line: Of its first fence, from 1.
        language: As its fence says; empty where it does not.
        title: Likewise: of commands, that they run, or what they need.
        text: What is in it, without the indentation of its fence.
    """

    page: pathlib.Path
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """`docs/tutorial.md:12`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is said to run as it stands."""
        return self.title.startswith("Runs")


def pages() -> list[pathlib.Path]:
    """The pages that users and developers read, the README first."""
    others = [ROOT / "CONTRIBUTING.md", ROOT / "models" / "README.md"]
    return [ROOT / "README.md", *others, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: pathlib.Path) -> Iterator[Block]:
    """The fenced blocks of a page, in turn."""
    opened: re.Match[str] | None = None
    at, held = 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
        if opened is None:
            opened = _FENCE.match(line)
            at, held = number, []
        elif line.strip() == "```":
            yield Block(page, at, opened["language"], opened["title"] or "", "\n".join(held))
            opened = None
        else:
            held.append(line.removeprefix(opened["indent"]))
