"""Every table of the documentation is in `docs/research/manifest.md`, with what printed it."""

from __future__ import annotations

import datetime as dt
import pathlib
import re
from collections.abc import Iterator

import pytest
from builders import ROOT
from documentation import pages

MANIFEST = ROOT / "docs" / "research" / "manifest.md"
MEASURED, WORDS = "Measured", "Tables of words"


def _tables(page: pathlib.Path) -> Iterator[tuple[str, list[list[str]]]]:
    """The heading above each table of a page, and its rows, the head first."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    heading, rows = "", list[list[str]]()
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("| ").split(" | ")])
            continue
        if rows:
            yield heading, [rows[0], *rows[2:]]
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


LISTED = {heading: rows[1:] for heading, rows in _tables(MANIFEST)}
PLACES = [
    pytest.param(page, heading, id=f"{page.relative_to(ROOT)}: {heading}")
    for page in pages()
    if page != MANIFEST
    for heading in dict.fromkeys(heading for heading, _ in _tables(page))
]


def _page(cell: str) -> pathlib.Path:
    link = re.fullmatch(r"\[.*\]\((.*)\)", cell)
    assert link, cell
    return (MANIFEST.parent / link[1]).resolve()


@pytest.mark.parametrize(("page", "heading"), PLACES)
def test_a_table_is_listed(page: pathlib.Path, heading: str):
    rows = [*LISTED[MEASURED], *LISTED[WORDS]]
    found = [row for row in rows if _page(row[0]) == page and row[1] in {heading, "*"}]
    assert len(found) == 1, f"list it once in {MANIFEST.relative_to(ROOT)}"


@pytest.mark.parametrize("row", LISTED[MEASURED], ids=lambda row: f"{row[0]} {row[1]}")
def test_what_is_listed_is_there(row: list[str]):
    cell, heading, command, day = row
    headings = {heading for heading, _ in _tables(_page(cell))}
    assert heading == "*" or heading in headings
    modules = re.findall(r"`python -m (\w+)(?:\.(\w+))?", command)
    assert modules
    for package, module in modules:
        assert (ROOT / package / f"{module or '__main__'}.py").exists()
    dt.date.fromisoformat(day)


def test_words_that_are_listed_are_there():
    for cell, heading in LISTED[WORDS]:
        assert heading == "*" or heading in {heading for heading, _ in _tables(_page(cell))}
