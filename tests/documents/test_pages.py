"""The README is a landing page; links within the repository lead somewhere."""

from __future__ import annotations

import re

import pytest
from builders import ROOT
from documentation import pages

README = ROOT / "README.md"
_LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(#[^)\s]*)?\)")


def test_the_readme_fits_on_a_few_screens():
    lines = README.read_text(encoding="utf-8").split("\n")
    assert len(lines) <= 121
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        to = page.parent / path if path else page
        assert to.exists(), path
        if anchor and to.suffix == ".md":
            assert anchor[1:] in _anchors(to.read_text(encoding="utf-8")), path + anchor


def _anchors(text: str) -> set[str]:
    """Those of headings, as the sites that show the repository make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in plain}
